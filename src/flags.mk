# Compiler flags of the three zones; included by the Makefile and by test/unit/Makefile.
# WERROR=1 turns warnings into errors, RACE_POINTS=1 compiles in the race points and the assertions of the server's
# headers, SAN=1 adds ASan and UBSan, TSAN=1 TSan (with clang and its OpenMP, which tells TSan of forks and joins; libgomp
# does not).
SRC_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

WARNINGS = -Wall -Wextra -Wshadow -Wno-register -Wno-unused-parameter -Wno-missing-field-initializers
ifdef WERROR
WARNINGS += -Werror
endif
# -fno-strict-aliasing and -fwrapv as the server itself: its headers and our views of page memory count on them.
COMMON_CXXFLAGS = -std=c++20 -O2 -g -fPIC -fno-strict-aliasing -fwrapv -fvisibility=hidden $(WARNINGS) -MMD -MP -I$(SRC_DIR)
ifdef RACE_POINTS
COMMON_CXXFLAGS += -DVECANN_RACE_POINTS -DUSE_ASSERT_CHECKING=1
endif
ifdef SAN
COMMON_CXXFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=vptr \
	-fno-sanitize-recover=all
endif
ifdef TSAN
CXX = clang++
COMMON_CXXFLAGS += -O1 -fsanitize=thread -DVECANN_TSAN
endif
# Zone K fuses no multiply-adds on its own: what is stored must not depend on the instruction set.
ZONE_K = -DVECANN_ZONE_K -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-math-errno -ffp-contract=off
ZONE_P = -DVECANN_ZONE_P -fno-exceptions -fno-rtti -fno-threadsafe-statics
ZONE_X = -DVECANN_ZONE_X -fopenmp
X_LIBS = -lfaiss -lopenblas -llapack

# decoding is a loop over elements, four at a time
LEVEL_FLAGS_payload = -O3
LEVEL_FLAGS_row_code = -O3
LEVEL_FLAGS_vector_sums = -O3
# one translation unit per instruction set
LEVEL_FLAGS_kernels_avx2 = -mavx2 -mfma -mf16c -mpopcnt
# (g++ 12 takes the undefined lanes inside its own AVX-512 intrinsics for mistakes)
LEVEL_FLAGS_kernels_avx512 = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vpopcntdq -mavx2 -mfma -mf16c -mpopcnt \
	-Wno-uninitialized -Wno-maybe-uninitialized
LEVEL_FLAGS_graph_kernels_avx2 = -mavx2 -mfma
LEVEL_FLAGS_graph_kernels_avx512 = -mavx512f -mfma
