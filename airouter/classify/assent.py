"""Whether a turn only tells the assistant to go on: "yes, do it", "continue", "好的". What is to be
done then is in the turns before it."""

import re

_CHARS = 60  # longer turns say something of their own
# Whole turns consist of these, in any number and order. One line per group of languages; to add one
# is enough. Compared in lower case without punctuation.
_PHRASES = """
yes|yep|yeah|yup|sure|ok|okay|k|alright|all right|right|correct|exactly|perfect|great|good|agreed|
fine|of course|absolutely|please|pls|thanks|thank you|then|now|and|so|just
do it|do that|do this|do so|do them all|do both|go|go on|go ahead|go for it|proceed|continue|
keep going|carry on|start|begin|resume|next|next step|more|again|try again|retry|fix it|fix that|
fix them|fix them all|apply it|apply that|make it so|ship it|sounds good|looks good|lgtm|
that works|that is fine|thats fine|yes to all|all of it|all of them|both|finish it|run it|
approved|approve|confirmed|confirm|accepted|accept|i agree|please do|as you suggested|
as you proposed|as proposed|as suggested
ja|jo|jep|jawohl|klar|gerne|gern|genau|richtig|passt|gut|in ordnung|einverstanden|bitte|danke|mal|
dann|jetzt|mach|mach das|mach es|machs|mach weiter|mach so|mach beides|tu es|tu das|weiter|
weitermachen|fortfahren|fahre fort|fahr fort|los|leg los|nochmal|noch einmal|
versuch es nochmal|beides|alles
oui|dac|d accord|bien sûr|parfait|vas y|allez y|fais le|faites le|continue|continuez|s il te plaît|
s il vous plaît|merci|encore
sí|si|vale|claro|de acuerdo|adelante|hazlo|hágalo|continúa|continua|continúe|sigue|siga|por favor|
gracias|sim|certo|pode|faça|faz isso|faça isso|continue|prossiga|va bene|certo|procedi|
fallo|vai|avanti|per favore|grazie|ja graag|doe het|doe maar|ga door|ga verder|graag|tak|dobrze|
zrób to|kontynuuj|dalej|evet|tamam|devam|devam et|yap
да|ага|хорошо|ок|окей|давай|сделай|сделай это|делай|продолжай|продолжи|дальше|пожалуйста|так|
добре|зроби це
好|好的|好吧|好啊|可以|行|行吧|是|是的|对|對|嗯|没问题|沒問題|继续|繼續|继续吧|繼續吧|请继续|請繼續|
开始|開始|开始吧|去做吧|做吧|就这样|就這樣|照做|同意|下一步|谢谢|謝謝
はい|ええ|うん|了解|了解です|お願いします|お願い|続けて|続けてください|続き|やって|やってください|
進めて|進めてください|それで|いいよ|いいです|オーケー
네|예|응|그래|좋아|좋아요|좋습니다|알겠습니다|계속|계속해|계속해줘|계속하세요|해줘|진행해|진행해줘|
진행해주세요|부탁해|부탁합니다
نعم|حسنا|استمر|تابع|تفضل|हाँ|हां|ठीक है|जारी रखो|जारी रखें|करो|คือ|ครับ|ค่ะ|ทำต่อ|ต่อ|vâng|được|
tiếp tục|làm đi|iya|lanjut|lanjutkan|oke
"""
_CHOICE = r"(?:(?:option|variant|number|nr|no|nummer|variante|opción) )?(?:\d|[a-d])"  # of a list
_ONE = "|".join(
    sorted(
        {phrase.strip() for phrase in _PHRASES.replace("\n", "|").split("|") if phrase.strip()},
        key=len,
        reverse=True,
    )
)
_WHOLE = re.compile(rf"(?:(?:{_ONE}|{_CHOICE})(?: |$|(?<=[^\x00-\u024f])))+")
_PUNCTUATION = re.compile(r"[^\w]+")  # also emoji
_COMBINING = re.compile(
    r"[^\w\u0900-\u097f\u0e00-\u0e7f]+"
)  # Devanagari and Thai: with vowel signs


def is_assent(ask: str) -> bool:
    """Whether a person's turn only agrees, or asks to go on.

    Args:
        ask: the turn's text without what a harness inserted.
    """
    text = ask.strip()
    if not text or len(text) > _CHARS:
        return False
    folded = text.lower().replace("\u2019", "'")
    words = _COMBINING.sub(" ", folded) if _needs_signs(folded) else _PUNCTUATION.sub(" ", folded)
    words = words.strip()
    return bool(words) and _WHOLE.fullmatch(words) is not None


def _needs_signs(text: str) -> bool:
    return any("\u0900" <= char <= "\u0e7f" for char in text)
