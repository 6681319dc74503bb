# make              the program and all test programs      (V=debug|asan|tsan|release|cov)
# make check-unit   run the unit tests and replay the fuzz corpora of this variant
# make tidy         what no compiler says: layers, lengths, banned calls, format
# make lint         clang-tidy and cppcheck
# make clean
#
# A variant V lives in build/V; flags of its own, objects of its own. A new .c file needs no edit here.

V ?= debug
B := build/$(V)

# Lowest first: a folder may include only folders to its left. tools/layers holds us to it.
LAYERS := base codec log model journal store enrich intake detect engine notify api main

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
        $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PKGS)))
override CFLAGS   += -std=c17 $(WARN_C) $(BOTH)
override CXXFLAGS += -std=c++17 -fno-exceptions -fno-rtti $(WARN_BOTH) $(BOTH)
override LDFLAGS  += $(LDFLAGS.$(V))
LDLIBS := $(shell pkg-config --libs $(PKGS)) -lstdc++ -lm
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

all: $(PROGRAM) $(UNIT) $(FUZZ)
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
	$(say)$(CC) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $^ $(LDLIBS)

# -- checks ---------------------------------------------------------------------

# TSan's shadow memory collides with a randomised address space.
PROVE      := prove -j2 --timer
PROVE.tsan := $(PROVE) --exec 'setarch -R'

check-unit: $(UNIT) $(FUZZ)
	$(or $(PROVE.$(V)),$(PROVE)) $^

tidy:
	tools/layers $(LAYERS)
	tools/tidy src test bench

lint:
	tools/lint "$(filter-out -W%,$(CFLAGS)) -Itest" $(SRC) $(MAIN)

clean:
	rm -rf build

.PHONY: all bench-programs check-unit tidy lint clean
.SECONDARY:
-include $(OBJ:.o=.d) $(UNIT:.t=.d) $(FUZZ:.t=.d) $(SUPPORT:.o=.d) $(BENCH:=.d)
-include $(B)/main/main.d $(B)/test/fuzz/replay_main.d
