# Every target runs a script in scripts/, which also works without make.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run serve reload test coverage test-quick test-threads test-tools check train test-real test-real-vllm test-browser test-agents profile benchmark load load-ui test-slo soak clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start the router, with a simulator if no backend is configured
	@sh scripts/run.sh

serve: ## start the router in the foreground, for service managers
	@sh scripts/serve.sh

reload: ## reload the configuration of the running router
	@sh scripts/reload.sh

test: ## run the tests in parallel (ARGS="-k name" is passed to pytest)
	@sh scripts/test.sh $(ARGS)

coverage: ## run the tests as `make test` does, and measure the branches of airouter/ they take
	@sh scripts/coverage.sh $(ARGS)

test-quick: ## run the quick tests, which start no process
	@sh scripts/test-quick.sh $(ARGS)

test-threads: ## test streams, failover and disconnects under a server with a thread per request
	@sh scripts/test-threads.sh $(ARGS)

test-tools: ## test ./Benchmark and the load test end to end (minutes)
	@sh scripts/test-tools.sh $(ARGS)

check: ## check format, lint, types and import rules
	@sh scripts/check.sh

train: ## train the learned tier from data/prompts/ and measure it on held-out origins (minutes)
	@sh scripts/train.sh $(ARGS)

test-real: ## test against a real inference server (compiled on first use: minutes)
	@sh scripts/test-real.sh $(ARGS)

test-real-vllm: ## test against vLLM on the CPU (installed on first use: minutes)
	@sh scripts/test-real-vllm.sh $(ARGS)

test-browser: ## test the dashboard in Chromium
	@sh scripts/test-browser.sh $(ARGS)

test-agents: ## test Claude Code, Codex and other agents as published (installed on first use: minutes)
	@sh scripts/test-agents.sh $(ARGS)

profile: ## show where the time of a request goes
	@sh scripts/bench.sh profile $(ARGS)

benchmark: ## run all benchmarks (ARGS="…" selects)
	@sh scripts/bench.sh $(or $(ARGS),all)

load: ## run a realistic load test with a verdict per service level (ARGS="--shape 5x")
	@sh scripts/load.sh $(ARGS)

load-ui: ## run the load test interactively, in Locust's web UI
	@sh scripts/load.sh --ui $(ARGS)

test-slo: ## test the endpoints against their service levels (LLM_*_URL; default: the simulator)
	@sh scripts/test-slo.sh $(ARGS)

soak: ## send 20,000 requests with random faults and disconnects, and check for leaks
	@sh scripts/bench.sh soak $(ARGS)

clean: ## remove environments and caches, but not logs
	@sh scripts/clean.sh
