/* SPDX-License-Identifier: MIT */
/* Writing all of it: a write(2) may take a part, be interrupted, or take nothing. */
#include "unit/unit.h"

#include <errno.h>
#include <unistd.h>

#include "base/io.h"

/* What each write(2) takes in turn; negative: that errno. */
static const int *plan;
static char out[64];
static size_t n_out;

/* In the place of libc's. */
ssize_t write(int fd, const void *p, size_t n) {
  int takes = *plan++;
  if (takes < 0) {
    errno = -takes;
    return -1;
  }
  n = CW_MIN(n, (size_t)takes);
  memcpy(out + n_out, p, n);
  n_out += n;
  return (ssize_t)n;
}

static int write_with(const int *steps) {
  plan = steps;
  n_out = 0;
  errno = 0;
  return cw_write_all(7, "0123456789", 10);
}

static void parts_are_put_together(void **state) {
  assert_int_equal(write_with((const int[]){3, -EINTR, 1, 99}), 0);
  assert_int_equal(n_out, 10);
  assert_memory_equal(out, "0123456789", 10);
}

static void a_failure_ends_it(void **state) {
  assert_int_equal(write_with((const int[]){4, -EPIPE, 99}), -1);
  assert_int_equal(errno, EPIPE);
  assert_int_equal(n_out, 4);
}

static void nothing_taken_is_a_failure(void **state) {
  assert_int_equal(write_with((const int[]){4, 0, 99}), -1);
  assert_int_equal(errno, EIO);
}

static void nothing_to_write_is_written(void **state) {
  plan = NULL;
  assert_int_equal(cw_write_all(7, NULL, 0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parts_are_put_together),
      cmocka_unit_test(a_failure_ends_it),
      cmocka_unit_test(nothing_taken_is_a_failure),
      cmocka_unit_test(nothing_to_write_is_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
