# exact_databricks: builds with PGXS against the server that PG_CONFIG names.
#
#   make                       library and install script
#   make install               needs the rights to write into the server's directories
#   make unit                  builds and runs unit/*_test.c (no server needed)
#   make installcheck          regress and isolation tests against a running server, then the TAP tests
#   make prove_installcheck    TAP tests only (PROVE_TESTS='t/510_delivery.pl' for some)
#   make indent                src/ in PostgreSQL's style, for whoever has its pgindent and pg_bsd_indent
#
# TAP tests make their own clusters and PostgreSQL refuses root: run them as an ordinary user who may write here.
# CC=clang builds with clang; COPT=-Werror makes warnings errors. In another directory: make -f <here>/Makefile.

EXTENSION = exact_databricks
# Where the sources are, . or another directory (VPATH); HERE names files of it as they are called in the tree.
SRC := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
HERE = $(sort $(patsubst $(SRC)/%,%,$(wildcard $(addprefix $(SRC)/,$(1)))))
ifneq (.,$(SRC))
VPATH := $(SRC)
endif
EXTVERSION := $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" $(SRC)/exact_databricks.control)

MODULE_big = exact_databricks
SOURCES := $(call HERE,src/*.c src/*/*.c)
OWN_HEADERS := $(call HERE,src/*.h src/*/*.h)
OBJS = $(SOURCES:.c=.o)
PGFILEDESC = "exact_databricks - hub between Exact Online and Databricks"

CATALOGUE := $(if $(call HERE,install/catalogue/build.sh),install/12_catalogue_data.sql)
INSTALL_PARTS := $(sort $(call HERE,install/*.sql) $(CATALOGUE))
DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DATA := $(call HERE,install/update/$(EXTENSION)--*--*.sql)

REGRESS := $(patsubst sql/%.sql,%,$(call HERE,sql/*.sql))
REGRESS_OPTS = --encoding=UTF8 --load-extension=exact_databricks
ISOLATION := $(patsubst specs/%.spec,%,$(call HERE,specs/*.spec))
ISOLATION_OPTS = --encoding=UTF8 --load-extension=exact_databricks
ifneq (,$(call HERE,t/*.pl))
TAP_TESTS = 1
endif

UNIT_TESTS := $(patsubst unit/%.c,%,$(call HERE,unit/*_test.c))
EXTRA_CLEAN = src/*.d src/*/*.d src/exports.map $(CATALOGUE) unit/.build fuzz/.build bench/.build tmp_check

PKG_CONFIG ?= pkg-config
PACKAGES = libcurl libcrypto libmicrohttpd zlib
ifneq (ok,$(shell $(PKG_CONFIG) --exists $(PACKAGES) && echo ok))
$(error $(shell $(PKG_CONFIG) --print-errors --errors-to-stdout --exists $(PACKAGES)); install libcurl4-openssl-dev libssl-dev libmicrohttpd-dev zlib1g-dev pkg-config)
endif

# Bitcode of this library would serve no inlined function.
override with_llvm = no

PG_CONFIG ?= pg_config
# The server's headers stand before libpq's internal ones, which may be of a newer version.
PG_CPPFLAGS = -I$(SRC)/src -DEXACT_VERSION='"$(EXTVERSION)"' $(shell $(PKG_CONFIG) --cflags $(PACKAGES)) \
	-isystem $(shell $(PG_CONFIG) --includedir-server) -isystem $(includedir_internal)
PG_CFLAGS = -Wall -Wextra -Wshadow -MMD -MP -ffile-prefix-map=$(SRC)/= -ffile-prefix-map=$(CURDIR)=.
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -Wl,--version-script=src/exports.map -Wl,--as-needed

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The server was configured for gcc: what clang does not know of that is left out.
ifneq (,$(findstring clang,$(CC)))
override CFLAGS := $(filter-out -fexcess-precision=standard,$(CFLAGS)) -Wno-unknown-warning-option -Wno-ignored-attributes
endif

-include $(SOURCES:.c=.d)
$(OBJS): exact_databricks.control

# The compiler makes no folders.
ifneq (.,$(SRC))
$(shell mkdir -p $(sort $(dir $(OBJS))) install)
endif

# The exported symbols: the module's own, the workers' main functions and the SQL functions.
src/exports.map: $(SOURCES)
	@{ echo '{ global: Pg_magic_func; _PG_init; exact_*_main;'; \
	   sed -n 's/^PG_FUNCTION_INFO_V1(\([a-z0-9_]*\));.*/  \1; pg_finfo_\1;/p' $^; \
	   echo '  local: *; };'; } > $@
$(MODULE_big)$(DLSUFFIX): src/exports.map

ifneq (,$(CATALOGUE))
$(CATALOGUE): $(call HERE,install/catalogue/*)
	sh $(SRC)/install/catalogue/build.sh > $@.tmp
	mv $@.tmp $@
endif

$(DATA_built): $(INSTALL_PARTS) exact_databricks.control
	cat $(filter %.sql,$^) > $@

# Each test is one C program that includes the .c files it tests. It takes the place of the server: the static libraries
# must see its symbols, libpgcommon has the encodings under the names that libpq uses, and neither may be made for a PIE.
UNIT_FLAGS = $(filter-out -MMD -MP -fPIC -fvisibility=hidden,$(CFLAGS)) -I$(SRC)/unit $(CPPFLAGS) \
	-DUSE_PRIVATE_ENCODING_FUNCS
UNIT_LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) -lpgcommon -lpgport \
	$(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lm -lpthread
unit/.build/%: unit/%.c $(SOURCES) $(OWN_HEADERS) $(call HERE,unit/*.h)
	@mkdir -p unit/.build
	$(CC) $(UNIT_FLAGS) -no-pie $< -o $@ $(UNIT_LIBS)

# Programs of bench/ that measure parts of src/ alone: made by the scripts of their names.
bench/.build/%: bench/%.c $(SOURCES) $(OWN_HEADERS) $(call HERE,unit/*.h)
	@mkdir -p bench/.build
	$(CC) $(UNIT_FLAGS) $< -o $@ $(UNIT_LIBS)

# libFuzzer programs: make CC=clang-14 fuzz; scripts/fuzz runs them.
FUZZ_TARGETS := $(patsubst fuzz/%_fuzz.c,%,$(call HERE,fuzz/*_fuzz.c))
FUZZ_FLAGS = $(filter-out -O2,$(UNIT_FLAGS)) -O1 -g -U_FORTIFY_SOURCE -fno-omit-frame-pointer -I$(SRC)/fuzz \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
fuzz/.build/%: fuzz/%_fuzz.c $(SOURCES) $(OWN_HEADERS) $(call HERE,unit/*.h fuzz/*.h)
	@mkdir -p fuzz/.build
	$(CC) $(FUZZ_FLAGS) $< -o $@ $(UNIT_LIBS)
.PHONY: fuzz
fuzz: $(addprefix fuzz/.build/,$(FUZZ_TARGETS))

.PHONY: unit prove_installcheck
unit: $(addprefix unit/.build/,$(UNIT_TESTS))
	@for t in $^; do echo "unit: $$(basename $$t)"; $$t || exit 1; done

prove_installcheck:
	$(prove_installcheck)

# pgindent is in PostgreSQL's sources, src/tools/pgindent; PGINDENT names it.
PGINDENT ?= pgindent
.PHONY: indent
indent:
	scripts/typedefs
	$(PGINDENT) --typedefs=typedefs.list $(SOURCES) $(OWN_HEADERS)
