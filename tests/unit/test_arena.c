/* SPDX-License-Identifier: MIT */
/* Memory of a request. */
#include "unit/unit.h"

#include <stdint.h>

#include "base/arena.h"
#include "base/fault.h"

static void arena_grows_and_starts_over(void **state) {
  _Alignas(16) static char mem[256];
  cw_arena_t a;
  cw_arena_init(&a, mem, sizeof(mem));
  char *first = cw_arena_alloc(&a, 10);
  assert_ptr_equal(first, mem);
  char *big = cw_arena_alloc(&a, 100000);
  assert_non_null(big);
  memset(big, 1, 100000);
  assert_int_equal((uintptr_t)cw_arena_alloc(&a, 3) % 16, 0);
  cw_arena_reset(&a);
  assert_ptr_equal(cw_arena_alloc(&a, 10), mem);
  cw_fault_arm(1);
  assert_null(cw_arena_alloc(&a, 5000));
  cw_arena_reset(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arena_grows_and_starts_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
