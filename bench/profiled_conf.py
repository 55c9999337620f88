"""gunicorn's settings for `Benchmark profile`: the product's own, with the instrumented application in place of the plain one."""

from pathlib import Path

_own = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"
exec(compile(_own.read_text(encoding="utf-8"), str(_own), "exec"))

wsgi_app = "bench.instrument:create_app()"
