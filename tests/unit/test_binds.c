/* SPDX-License-Identifier: MIT */
/* --bind and $PORT as they are written. */
#include "unit/unit.h"

#include <stdlib.h>

#include "base/addr.h"
#include "supervisor/binds.h"

static void addresses(void **state) {
  static const struct {
    const char *text, *host, *port;
  } good[] = {
      {"127.0.0.1:80", "127.0.0.1", "80"}, {":80", "0.0.0.0", "80"},
      {"8000", "0.0.0.0", "8000"},         {"[::1]:80", "::1", "80"},
      {"http://a:80", "a", "80"},          {"tcp://a.example:1", "a.example", "1"},
      {"tcp://8000", "0.0.0.0", "8000"}};
  static const char *const bad[] = {"a",       "a:",      "::1",     "[::1]",
                                    "[::1]80", "a:x",     "a:65536", "a:1:2",
                                    "",        "http://", "[::1:80"};
  char host[CW_LISTENER_TEXT], port[CW_PORT_TEXT];
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++) {
    if (cw_bind_split(good[i].text, host, sizeof(host), port, sizeof(port)) != 0)
      fail_msg("refused: %s", good[i].text);
    assert_string_equal(host, good[i].host);
    assert_string_equal(port, good[i].port);
  }
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_bind_split(bad[i], host, sizeof(host), port, sizeof(port)) == 0)
      fail_msg("taken: %s", bad[i]);
  assert_int_equal(cw_bind_split("host:80", host, 4, port, sizeof(port)), -1);
}

/* What becomes of one --bind, or of none. NULL: it is refused. */
static const char *worked_out(const char *bind, const char *env) {
  static char text[200];
  cw_settings_t s;
  if (env)
    setenv("PORT", env, 1);
  else
    unsetenv("PORT");
  assert_int_equal(cw_settings_init(&s), 0);
  if (bind)
    assert_int_equal(cw_settings_set_text(&s, CW_OPT_BIND, bind, CW_FROM_ARGV), 0);
  int rc = cw_binds_work_out(&s);
  if (rc == 0) strncpy(text, s.v[CW_OPT_BIND].items[0], sizeof(text) - 1);
  cw_settings_fini(&s);
  return rc == 0 ? text : NULL;
}

static void ports_are_filled_in(void **state) {
  assert_string_equal(worked_out(NULL, NULL), "0.0.0.0:8080");
  assert_string_equal(worked_out(NULL, "81"), "0.0.0.0:81");
  assert_string_equal(worked_out("a", NULL), "a:8000");
  assert_string_equal(worked_out("a", "81"), "a:81");
  assert_string_equal(worked_out("a:1, b", "81"), "a:1,b:81");
  assert_string_equal(worked_out("[::1]", NULL), "[::1]:8000");
  assert_string_equal(worked_out("tcp://a", NULL), "a:8000");
  assert_string_equal(worked_out("unix:/x,fd://3", "81"), "unix:/x,fd://3");
}

static void what_is_no_address_is_refused(void **state) {
  static const char *const bad[] = {"::1", "a:", ":", "", "a:x", "a[b", "[::1]5"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (worked_out(bad[i], NULL)) fail_msg("taken: %s", bad[i]);
  assert_null(worked_out(NULL, "tcp://10.0.0.1:80"));
  assert_null(worked_out("a", "x"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(addresses),
      cmocka_unit_test(ports_are_filled_in),
      cmocka_unit_test(what_is_no_address_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
