# vecann: built with PGXS. `make help` lists the targets.
#
# Three zones, three sets of flags (docs/developer/architecture.md):
#   K  src/core src/kernels src/quant src/graph   plain memory, no server, no exceptions
#   P  src/pg src/storage src/types ...      server code, no exceptions, no RTTI
#   X  src/compute                           foreign libraries; a shared library of its own
MODULE_big = vecann
EXTENSION = vecann
DATA = $(wildcard sql/vecann--*.sql)

K_DIRS = core kernels quant graph
P_DIRS = pg storage types opclass planner hnsw ivf monitor
X_DIRS = compute

K_SRC = $(sort $(foreach d,$(K_DIRS),$(wildcard src/$(d)/*.cpp)))
P_SRC = $(sort $(foreach d,$(P_DIRS),$(wildcard src/$(d)/*.cpp))) src/module.cpp
X_SRC = $(sort $(foreach d,$(X_DIRS),$(wildcard src/$(d)/*.cpp)))
K_OBJS = $(K_SRC:.cpp=.o)
P_OBJS = $(P_SRC:.cpp=.o)
X_OBJS = $(X_SRC:.cpp=.o)
OBJS = $(K_OBJS) $(P_OBJS)
COMPUTE_LIB = vecann_compute.so
# what of zone K the compute library calls
COMPUTE_K_OBJS = $(filter src/kernels/% src/quant/% src/graph/%,$(K_OBJS))

EXTRA_CLEAN = $(COMPUTE_LIB) $(X_OBJS) $(OBJS:.o=.d) $(X_OBJS:.o=.d) .build-flags test/unit/build bench/build \
	results output_iso regression.diffs regression.out tmp_check tmp_check_iso

REGRESS = $(basename $(notdir $(filter-out sql/vecann--%,$(sort $(wildcard sql/*.sql)))))
REGRESS_OPTS = --load-extension=vecann
ISOLATION_TESTS = $(basename $(notdir $(sort $(wildcard test/isolation/specs/*.spec))))

PG_CONFIG ?= pg_config
# The bitcode rules know nothing of our C++ flags, and JIT has nothing to inline here.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
override with_llvm = no

# ---- flags: src/flags.mk, shared with the unit tests ---------------------------
include src/flags.mk

$(K_OBJS): VECANN_CXXFLAGS = $(COMMON_CXXFLAGS) $(ZONE_K) $(LEVEL_FLAGS_$(basename $(notdir $@)))
$(P_OBJS): VECANN_CXXFLAGS = $(COMMON_CXXFLAGS) $(ZONE_P) -isystem $(includedir_server) $(PG_CPPFLAGS)
$(X_OBJS): VECANN_CXXFLAGS = $(COMMON_CXXFLAGS) $(ZONE_X) $(LEVEL_FLAGS_$(basename $(notdir $@)))

$(OBJS) $(X_OBJS): %.o: %.cpp .build-flags
	$(CXX) $(VECANN_CXXFLAGS) -c -o $@ $<

# Objects are rebuilt when the flags change (RACE_POINTS on or off, another server version).
FLAG_LINE = $(CXX) $(COMMON_CXXFLAGS) $(ZONE_K) $(ZONE_P) $(ZONE_X) $(includedir_server)
.build-flags: FORCE
	@echo '$(FLAG_LINE)' | cmp -s - $@ || echo '$(FLAG_LINE)' > $@
.PHONY: FORCE
-include $(OBJS:.o=.d) $(X_OBJS:.o=.d)

# ---- linking ---------------------------------------------------------------
# vecann.so takes neither FAISS nor OpenBLAS nor libgomp: those live in vecann_compute.so, which is opened for builds
# only. Symbols bind locally, because the server loads modules RTLD_GLOBAL.
SHLIB_LINK += -Wl,-Bsymbolic -lstdc++ -ldl
all: $(COMPUTE_LIB)
$(COMPUTE_LIB): $(X_OBJS) $(COMPUTE_K_OBJS)
	$(CXX) -shared -fopenmp -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -o $@ $^ $(X_LIBS)

install: install-compute
install-compute: $(COMPUTE_LIB) installdirs
	$(INSTALL_SHLIB) $(COMPUTE_LIB) '$(DESTDIR)$(pkglibdir)/$(COMPUTE_LIB)'
uninstall: uninstall-compute
uninstall-compute:
	rm -f '$(DESTDIR)$(pkglibdir)/$(COMPUTE_LIB)'

# The stub extension `vector`, the name under which clients and dumps ask for vecann; refused beside pgvector's files.
install-compat: installdirs
	bash $(srcdir)/scripts/install-compat install '$(DESTDIR)$(datadir)/extension' '$(DESTDIR)$(pkglibdir)'
uninstall-compat:
	bash $(srcdir)/scripts/install-compat uninstall '$(DESTDIR)$(datadir)/extension' '$(DESTDIR)$(pkglibdir)'
.PHONY: install-compat uninstall-compat

# ---- tests -----------------------------------------------------------------
# make installcheck     SQL regression tests against the running server (PGHOST, PGPORT)
# make check-isolation  isolation specs, the same; needs a build with RACE_POINTS=1
# make check-tap        TAP tests; they start servers of their own
# make check-unit       unit tests of zones K and X, no server; SAN=1 with sanitizers
# make check-clients    client libraries and ORMs on a server of their own
# make check-style      format, sizes, names, include edges
# make format           formats the C++ code
# make bench            benchmarks side by side with the peers, as root; BENCH="--quick": options of bench/side-by-side
check-isolation:
	$(pg_isolation_regress_installcheck) --load-extension=vecann --inputdir=$(srcdir)/test/isolation \
		--outputdir=$(CURDIR)/output_iso $(ISOLATION_TESTS)
check-tap:
	PG_CONFIG='$(PG_CONFIG)' RACE_POINTS='$(RACE_POINTS)' bash scripts/run-tap $(TAP_TESTS)
check-unit:
	$(MAKE) -C test/unit check
check-clients:
	bash scripts/check-clients
check-style:
	bash scripts/check-includes
	bash scripts/check-style
format:
	bash scripts/format
bench:
	bash bench/side-by-side $(BENCH)
# Programs without a server; see their opening comments.
bench/build/graph_build bench/build/quantizers bench/build/training: bench/build/%: bench/%.cpp $(X_OBJS) $(COMPUTE_K_OBJS)
	mkdir -p $(@D)
	$(CXX) $(COMMON_CXXFLAGS) $(ZONE_X) -o $@ $^ $(X_LIBS)
help:
	@sed -n '/^# make /s/^# //p' $(firstword $(MAKEFILE_LIST))
.PHONY: check-isolation check-tap check-unit check-clients check-style format bench help install-compute uninstall-compute
