# Every target is a script in scripts/, which also runs where there is no make.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run serve reload test test-quick test-tools check train test-real test-real-vllm profile benchmark load load-ui test-slo soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start the router; with a simulator where no backend is configured
	@sh scripts/run.sh

serve: ## start the router alone, as a service does
	@sh scripts/serve.sh

reload: ## have the running router take up its changed configuration
	@sh scripts/reload.sh

test: ## run the tests, several at a time (ARGS="-k name" goes to pytest)
	@sh scripts/test.sh $(ARGS)

test-quick: ## those that start no process: under a minute
	@sh scripts/test-quick.sh $(ARGS)

test-tools: ## those of ./Benchmark and the load test, as whole commands: minutes
	@sh scripts/test-tools.sh $(ARGS)

check: ## format, lint, types, import rules
	@sh scripts/check.sh

train: ## train the learned tier from data/prompts/ and measure it on origins it never saw (minutes)
	@sh scripts/train.sh $(ARGS)

test-real: ## run the router against a real inference server (compiles one the first time: minutes)
	@sh scripts/test-real.sh $(ARGS)

test-real-vllm: ## run the router against vLLM on the CPU (installs it the first time: minutes)
	@sh scripts/test-real-vllm.sh $(ARGS)

profile: ## where a request's time goes
	@sh scripts/bench.sh profile $(ARGS)

benchmark: ## all measurements of ./Benchmark (ARGS="…" chooses)
	@sh scripts/bench.sh $(or $(ARGS),all)

load: ## realistic load, a verdict per service level, the knee (ARGS="--shape 5x")
	@sh scripts/load.sh $(ARGS)

load-ui: ## the same by hand, in Locust's web interface
	@sh scripts/load.sh --ui $(ARGS)

test-slo: ## the endpoints' service levels (LLM_*_URL; without any, the simulator)
	@sh scripts/test-slo.sh $(ARGS)

soak: ## 10,000 requests with random faults and disconnects: does anything leak?
	@sh scripts/bench.sh soak $(ARGS)

clean: ## remove environments and caches, not logs
	@sh scripts/clean.sh
