/* SPDX-License-Identifier: MIT */
/* Networks, and who is in one. */
#include "unit/unit.h"

#include "base/addr.h"

static bool has(const char *list, const char *addr) {
  cw_networks_t nets = {NULL, 0, false};
  cw_span_t bad;
  cw_addr_t a;
  assert_int_equal(cw_networks_add(&nets, list, &bad), 0);
  assert_int_equal(cw_addr_parse(SPAN(addr), &a), 0);
  bool found = cw_networks_have(&nets, &a);
  cw_networks_free(&nets);
  return found;
}

static void networks(void **state) {
  assert_true(has("127.0.0.1, ::1", "127.0.0.1"));
  assert_true(has("127.0.0.1,::1", "::1"));
  assert_true(has("127.0.0.1", "::ffff:127.0.0.1"));
  assert_false(has("127.0.0.1", "127.0.0.2"));
  assert_true(has("10.0.0.0/8", "10.255.0.1"));
  assert_false(has("10.0.0.0/8", "11.0.0.1"));
  assert_true(has("10.1.2.128/25", "10.1.2.200"));
  assert_false(has("10.1.2.128/25", "10.1.2.100"));
  assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
  assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
  assert_true(has("0.0.0.0/0", "9.9.9.9"));
  assert_false(has("0.0.0.0/0", "2001:db8::1"));
  assert_true(has("*", "2001:db8::1"));
  assert_false(has("", "127.0.0.1"));
}

static void no_networks(void **state) {
  static const char *const bad[] = {"x",          "10.0.0.0/33",   "::/129",
                                    "10.0.0.0/",  "10.0.0.0/-1",   "1.2.3",
                                    "1.2.3.4/8x", "127.0.0.1 ::1", "1.2.3.4:80"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++) {
    cw_networks_t nets = {NULL, 0, false};
    cw_span_t word;
    if (cw_networks_add(&nets, bad[i], &word) == 0) fail_msg("taken: %s", bad[i]);
    assert_non_null(word.p);
    cw_networks_free(&nets);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(networks),
      cmocka_unit_test(no_networks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
