# A thin front of `cargo xtask`, which does the work and says what it does. `cargo xtask` alone lists every command.

# `rust-toolchain.toml` names a version. A machine that cannot fetch it but has it as `stable` uses that; cargo itself
# refuses one that is too old (`rust-version`).
ifneq ($(shell cargo --version >/dev/null 2>&1 && echo found),found)
export RUSTUP_TOOLCHAIN := stable
endif

.PHONY: up down check test test-long ci codegen bench twin conformance fix tidy reference bootstrap

up:         ; @cargo xtask up $(ARGS)
down:       ; @cargo xtask down
check:      ; @cargo xtask ci --quick $(ARGS)
test:       ; @cargo xtask ci $(ARGS)
test-long:  ; @cargo xtask ci --long $(ARGS)
ci:         ; @cargo xtask ci $(ARGS)
codegen:    ; @cargo xtask codegen $(ARGS)
bench:      ; @cargo xtask bench $(if $(ONLY),--only $(ONLY)) $(if $(SCALE),--scale $(SCALE)) $(ARGS)
twin:       ; @cargo xtask twin $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(ARGS)
conformance: ; @cargo xtask conformance $(if $(FOCUS),--focus '$(FOCUS)') $(if $(SKIP),--skip '$(SKIP)') \
               $(if $(NEEDS),--needs $(NEEDS)) $(if $(PROCS),--procs $(PROCS)) $(if $(AGAINST),--against $(AGAINST)) $(ARGS)
fix:        ; @cargo xtask fix
tidy:       ; @cargo xtask tidy
reference:  ; @cargo xtask reference $(ARGS)
bootstrap:  ; @cargo xtask bootstrap $(ARGS)
