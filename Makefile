# make run          set up, build and start the server     (ARGS="--listen ...": more options)
# make test         set up, build, run every test          (V=debug|asan|tsan|release|cov)
# make bench        measure, and print the table of doc/bench.md
# make setup        what building needs: apt packages, geo data, the client's dependencies
# make install      the release program into $(DESTDIR)$(PREFIX)
# make              the program and all test programs, of this variant
# make check-unit   run the unit tests and replay the fuzz corpora of this variant
# make tidy         what no compiler says: layers, lengths, banned calls, format
# make lint         clang-tidy and cppcheck
# make clean
#
# A variant V lives in build/V; flags of its own, objects of its own. A new .c file needs no edit here.

V ?= debug
B := build/$(V)

# Lowest first: a folder may include only folders to its left. tools/layers holds us to it.
LAYERS := base codec log model journal store enrich intake detect engine format mail notify api main

PKGS := libh2o-evloop libssl libcrypto simdjson libmaxminddb libpcre2-8 yaml-0.1 sqlite3 libcurl \
        glib-2.0 libxxhash libzstd

HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
FLAGS.debug   := -O0 -g
FLAGS.release := -O2 -g $(HARDEN)
FLAGS.asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS.tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
FLAGS.cov     := -O0 -g --coverage
LDFLAGS.release := -pie -Wl,-z,relro,-z,now

WARN_BOTH := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual -Wformat=2 -Werror
WARN_C    := $(WARN_BOTH) -Wstrict-prototypes -Wmissing-prototypes -Wvla
BOTH := -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -Isrc -pthread $(FLAGS.$(V)) \
        $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PKGS) 2>/dev/null))
override CFLAGS   += -std=c17 $(WARN_C) $(BOTH)
override CXXFLAGS += -std=c++17 -fno-exceptions -fno-rtti $(WARN_BOTH) $(BOTH)
override LDFLAGS  += $(LDFLAGS.$(V))
LDLIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lstdc++ -lm
DEPS = -MMD -MP -MF $(basename $@).d
# One short line for each thing that is made; LOUD=1 shows the commands.
say = $(if $(LOUD),,@echo '  $@';)

# -- what there is --------------------------------------------------------------

MAIN    := $(wildcard src/main/main.c)
SRC     := $(filter-out $(MAIN),$(foreach layer,$(LAYERS),$(wildcard src/$(layer)/*.c)))
OBJ     := $(SRC:src/%.c=$(B)/%.o) $(B)/codec/json_simdjson.o
PROGRAM := $(MAIN:src/main/main.c=$(B)/tocsin)
RUNNER  := test/fuzz/replay_main.c
SUPPORT := $(patsubst %.c,$(B)/%.o,$(wildcard test/support/*.c))
UNIT    := $(patsubst %.c,$(B)/%.t,$(filter-out test/fuzz/% test/support/%,$(wildcard test/*/*.c)))
FUZZ    := $(patsubst %.c,$(B)/%.t,$(filter-out $(RUNNER),$(wildcard test/fuzz/*.c)))
BENCH   := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c))

# TSan is asked about the programs in which threads meet: those that start threads, and those that run
# an engine, a receiver or a notifier, which do. One thread cannot race with itself, and what it does
# with bytes is asan's business. Not fault/kill: its child is killed, and what TSan has to say of the
# engine it hears in test/engine.
THREADED := $(filter-out test/support/% test/fault/kill.c,$(shell grep -lE \
    '\<pthread_|support/rig\.h|notify/receiver\.h|notify_start' $(wildcard test/*/*.c)))
CHECKED  := $(if $(filter tsan,$(V)),$(patsubst %.c,$(B)/%.t,$(THREADED)),$(UNIT) $(FUZZ))

all: $(PROGRAM) $(CHECKED)
bench-programs: $(BENCH)

# -- how it is made -------------------------------------------------------------

$(B)/lib.a: $(OBJ)
	@rm -f $@
	$(say)$(AR) rcs $@ $^

$(B)/%.o: src/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CFLAGS) $(DEPS) -c -o $@ $<

$(B)/%.o: src/%.cc
	@mkdir -p $(@D)
	$(say)$(CXX) $(CXXFLAGS) $(DEPS) -c -o $@ $<

$(B)/test/%.o: test/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CFLAGS) -Itest $(DEPS) -c -o $@ $<

$(B)/tocsin: $(B)/main/main.o $(B)/lib.a
	$(say)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(FUZZ): $(B)/test/fuzz/%.t: $(B)/test/fuzz/%.o $(B)/test/fuzz/replay_main.o $(B)/lib.a
	$(say)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(UNIT): $(B)/test/%.t: $(B)/test/%.o $(SUPPORT) $(B)/lib.a
	$(say)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/bench/%: bench/%.c $(B)/lib.a
	@mkdir -p $(@D)
	$(say)$(CC) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $(filter %.c %.a,$^) $(LDLIBS)

# -- what people call ---------------------------------------------------------------

PREFIX ?= /usr/local
JOBS   := -j$(shell nproc)
AGAIN  := $(MAKE) --no-print-directory $(JOBS)

# Set-up may install the very tools that this file asks at its head, so what follows it is made anew.
setup:
	@tools/setup

run:
	@tools/setup
	@$(AGAIN) V=release build/release/tocsin
	@tools/run build/release/tocsin $(ARGS)

test:
	@tools/setup
	@$(AGAIN) V=$(V) all
	@$(MAKE) --no-print-directory V=$(V) check-unit
	@$(MAKE) --no-print-directory V=$(V) check-api

bench:
	@tools/setup
	@$(AGAIN) V=release build/release/tocsin bench-programs
	@bench/run

install:
	@$(AGAIN) V=release build/release/tocsin
	install -D -m 755 build/release/tocsin $(DESTDIR)$(PREFIX)/bin/tocsin

# -- checks ---------------------------------------------------------------------

# TSan's shadow memory collides with a randomised address space.
PROVE      := prove -j2 --timer
PROVE.tsan := $(PROVE) --exec 'setarch -R'

check-unit: $(CHECKED)
	$(or $(PROVE.$(V)),$(PROVE)) $^

# Three files at once, as each has servers, ports and folders of its own and mostly waits. The client's
# own tests need no server, so one variant runs them.
check-api: $(PROGRAM)
	V=$(V) node --test --test-concurrency=3 $(wildcard test/api/*.test.mjs) \
	    $(if $(filter debug,$(V)),$(wildcard sdk/js/test/*.test.mjs))

tidy:
	tools/layers $(LAYERS)
	tools/tidy src test bench

lint:
	tools/lint "$(filter-out -W%,$(CFLAGS)) -Itest" $(SRC) $(MAIN)

clean:
	rm -rf build

.PHONY: setup run test bench install all bench-programs check-unit check-api tidy lint clean
.SECONDARY:
-include $(OBJ:.o=.d) $(UNIT:.t=.d) $(FUZZ:.t=.d) $(SUPPORT:.o=.d) $(BENCH:=.d)
-include $(B)/main/main.d $(B)/test/fuzz/replay_main.d
