/* SPDX-License-Identifier: MIT */
/* Counting durations. */
#include "unit/unit.h"

#include "base/metrics.h"

static void buckets(void **state) {
  cw_histogram_t h = {0};
  cw_histogram_note(&h, -5);
  cw_histogram_note(&h, 0);
  cw_histogram_note(&h, 500);
  cw_histogram_note(&h, 501);
  cw_histogram_note(&h, 60000000);
  cw_histogram_note(&h, 60000001);
  assert_int_equal(cw_metric_get(&h.bucket[0]), 3); /* a bound belongs to its bucket */
  assert_int_equal(cw_metric_get(&h.bucket[1]), 1);
  assert_int_equal(cw_metric_get(&h.bucket[CW_BUCKETS - 1]), 1);
  assert_int_equal(cw_metric_get(&h.bucket[CW_BUCKETS]), 1);
  assert_int_equal(cw_metric_get(&h.sum_us), 120001002);
  for (int i = 1; i < CW_BUCKETS; i++)
    assert_true(cw_bucket_bounds[i - 1] < cw_bucket_bounds[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(buckets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
