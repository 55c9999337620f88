// What Anthropic's JavaScript library makes of the router's answers; prints it as JSON.
import Anthropic, * as library from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";

const baseURL = process.env.ROUTER_URL;
const client = new Anthropic({ baseURL, apiKey: "any", maxRetries: 0 });
const pixel = Buffer.from("\x89PNG\r\n\x1a\n", "latin1").toString("base64");
const user = (content) => [{ role: "user", content }];
const ask = (content, more = {}) => ({
  model: "claude-opus-4-8", max_tokens: 200, messages: user(content), ...more,
});
const weather = {
  name: "weather",
  description: "Tells the weather.",
  input_schema: {
    type: "object", properties: { city: { type: "string" } }, required: ["city"],
  },
};
const textOf = (message) =>
  message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
const failure = async (promise) => {
  try {
    await promise;
    return "none";
  } catch (error) {
    const kinds = Object.entries(library).filter(
      ([name, kind]) => name.endsWith("Error") && error?.constructor === kind,
    );
    return `${kinds.map(([name]) => name).join()} ${error.status}`;
  }
};

const found = {};
const whole = await client.messages.create(ask("Hello"));
found.whole = [whole.type, whole.role, whole.model, whole.stop_reason, textOf(whole)];
found.requestId = whole._request_id === `req_${whole.id.slice(4)}`;

const stream = client.messages.stream(ask("Hello"));
let pieces = 0;
let streamed = "";
stream.on("text", (text) => {
  pieces += 1;
  streamed += text;
});
const last = await stream.finalMessage();
found.stream = [pieces > 5, streamed === textOf(last), last.stop_reason, textOf(last)];

const kinds = [];
for await (const event of await client.messages.create(ask("Hello", { stream: true }))) {
  if (kinds.at(-1) !== event.type) kinds.push(event.type);
}
found.events = kinds;

const question = "Use the tool: how is the weather?";
const turn = await client.messages.stream(ask(question, { tools: [weather] })).finalMessage();
const call = turn.content.at(-1);
found.call = [call.type, call.name, call.input, turn.stop_reason];
const result = { type: "tool_result", tool_use_id: call.id, content: "Sunny" };
const messages = [
  ...user(question),
  { role: "assistant", content: turn.content },
  { role: "user", content: [result] },
];
const { data, response } = await client.messages
  .create(ask("", { tools: [weather], messages }))
  .withResponse();
found.result = [textOf(data), response.headers.get("x-router-tier")];

const cities = [];
const runner = client.beta.messages.toolRunner(
  ask(question, {
    tools: [
      betaTool({
        name: "weather",
        description: "Tells the weather.",
        inputSchema: weather.input_schema,
        run: ({ city }) => {
          cities.push(city);
          return `Sunny in ${city}`;
        },
      }),
    ],
  }),
);
found.runner = [textOf(await runner), cities];

const counted = await client.messages.countTokens({
  model: "claude-opus-4-8", messages: user("Hello there ".repeat(100)),
});
found.tokens = counted.input_tokens;

const image = { type: "base64", media_type: "image/png", data: pixel };
const seen = await client.messages.create(
  ask([{ type: "image", source: image }, { type: "text", text: "What is this?" }], {
    model: "ai-router/primary",
  }),
);
found.image = textOf(seen);

const models = [];
for await (const model of client.models.list()) models.push(model.id);
found.models = models;

const wrong = new Anthropic({ baseURL: `${baseURL}/nowhere`, apiKey: "any", maxRetries: 0 });
const late = new Anthropic({ baseURL, apiKey: "any", maxRetries: 0, timeout: 1 });
found.errors = {
  invalid: await failure(client.messages.create({ ...ask("Hi"), max_tokens: "x" })),
  lost: await failure(wrong.messages.create(ask("Hi"))),
  late: await failure(late.messages.create(ask("Hi"))),
  broken: await failure(
    client.messages.create(ask(process.env.BROKEN, { model: "ai-router/xai" })),
  ),
  cut: await failure(
    client.messages.stream(ask(process.env.CUT, { model: "ai-router/xai" })).finalMessage(),
  ),
};
console.log(JSON.stringify(found));
