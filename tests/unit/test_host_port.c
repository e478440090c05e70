/* SPDX-License-Identifier: MIT */
/* Hosts and ports as people write them. */
#include "unit/unit.h"

#include "base/host_port.h"

static void ports(void **state) {
  static const char *const good[] = {"0", "1", "80", "08080", "65535"};
  static const char *const bad[] = {"",   "65536", "99999", "080800",
                                    "-1", " 1",    "1a",    "+1"};
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++)
    if (!cw_is_port(SPAN(good[i]))) fail_msg("refused: %s", good[i]);
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_is_port(SPAN(bad[i]))) fail_msg("taken: %s", bad[i]);
}

static bool same(cw_span_t got, const char *wanted) {
  return wanted ? got.p && got.len == strlen(wanted) && !memcmp(got.p, wanted, got.len)
                : !got.p;
}

/* The port is whatever stands there. */
static void parts(void **state) {
  static const struct {
    const char *text, *host, *port;
  } all[] = {{"a.example", "a.example", NULL},
             {"a:x", "a", "x"},
             {"a:", "a", ""},
             {":80", "", "80"},
             {"", "", NULL},
             {"[::1]", "::1", NULL},
             {"[::1]:80", "::1", "80"},
             {"[]:80", "", "80"}};
  cw_span_t host, port;
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    assert_int_equal(cw_host_port_split(all[i].text, &host, &port), 0);
    if (!same(host, all[i].host) || !same(port, all[i].port))
      fail_msg("wrong: %s", all[i].text);
  }
}

static void hosts_and_ports(void **state) {
  static const struct {
    const char *text, *host, *port;
  } good[] = {{"a.example:514", "a.example", "514"},
              {"a", "a", "99"},
              {"[::1]:5", "::1", "5"},
              {"[::1]", "::1", "99"},
              {":7", "localhost", "7"},
              {"", "localhost", "99"}};
  static const char *const bad[] = {"a:",      "a:b", "[::1", "[::1]5",   "a:123456",
                                    "a:65536", "::1", "a[b",  "[::1]:1:2"};
  char host[CW_NAME_TEXT], port[CW_PORT_TEXT];
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++) {
    assert_int_equal(cw_host_port(good[i].text, "99", host, port), 0);
    assert_string_equal(host, good[i].host);
    assert_string_equal(port, good[i].port);
  }
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_host_port(bad[i], "99", host, port) == 0) fail_msg("taken: %s", bad[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ports),
      cmocka_unit_test(parts),
      cmocka_unit_test(hosts_and_ports),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
