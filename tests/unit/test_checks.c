/* SPDX-License-Identifier: MIT */
/* The checks of checks.h, each against what its RFC clause allows and forbids. */
#include "unit/unit.h"

#include "http/checks.h"

static void hosts(void **state) {
  static const char *const good[] = {"a",          "a.b-c_d", "1.2.3.4:80", "[::1]",
                                     "[::1]:8080", "a%2Db",   "a:",         "A:65535"};
  static const char *const bad[] = {
      "",   ":80",    "a b",  "a/b", "a@b",  "a:b",   "a:65536", "a:80:8", "[::1",
      "[]", "[::1]x", "[g/]", "a%2", "a:-1", "a,b c", "a#",      "a\x80",  "a?"};
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++)
    if (!cw_check_host(SPAN(good[i]), false)) fail_msg("refused: %s", good[i]);
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_check_host(SPAN(bad[i]), false)) fail_msg("taken: %s", bad[i]);
  assert_true(cw_check_host(SPAN(""), true));
  assert_true(cw_check_host(SPAN(":"), true));
  assert_true(cw_check_host(SPAN(":80"), true));
  assert_false(cw_check_host(SPAN(":x"), true));
  assert_false(cw_check_host(SPAN("[]"), true));
}

static void host_with_nul(void **state) {
  assert_false(cw_check_host((cw_span_t){"[::1\0/]", 7}, true));
}

static void lengths(void **state) {
  static const char *const bad[] = {"",
                                    "-1",
                                    "+1",
                                    " 1",
                                    "1 ",
                                    "1,1",
                                    "0x1",
                                    "1.0",
                                    "99999999999999999999",
                                    "9007199254740993"};
  int64_t n;
  assert_true(cw_parse_length(SPAN("0"), &n) && n == 0);
  assert_true(cw_parse_length(SPAN("007"), &n) && n == 7);
  assert_true(cw_parse_length(SPAN("9007199254740992"), &n));
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_parse_length(SPAN(bad[i]), &n)) fail_msg("taken: %s", bad[i]);
}

static void transfer_encodings(void **state) {
  static const struct {
    const char *value;
    int status;
  } cases[] = {{"chunked", 0},         {"CHUNKED", 0},
               {" chunked ", 0},       {"", 400},
               {"identity", 400},      {"gzip", 400},
               {"chunked, gzip", 400}, {"chunked,chunked", 400},
               {"gzip, chunked", 501}, {"foo", 501},
               {"foo, chunked", 501},  {"chunked;q=1", 400},
               {"\"chunked\"", 400},   {"chunked,", 400},
               {"chunk ed", 400}};
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++)
    if (cw_check_transfer_encoding(SPAN(cases[i].value)) != cases[i].status)
      fail_msg("'%s': %d", cases[i].value,
               cw_check_transfer_encoding(SPAN(cases[i].value)));
}

static void request_lines(void **state) {
  static const struct {
    const char *line;
    int status;
  } cases[] = {{"GET / HTTP/1.1", 0},
               {"GET / HTTP/1.0", 0},
               {"GET /", 400},
               {"GET  / HTTP/1.1", 400},
               {"GET / HTTP/1.1 ", 400},
               {" GET / HTTP/1.1", 400},
               {"GET / http/1.1", 400},
               {"GET / HTTP/1.2", 0},
               {"GET / HTTP/2.0", 505},
               {"PRI * HTTP/2.0", 505},
               {"GET / HTTP/0.9", 505},
               {"GET / HTTP/11", 400},
               {"GET / HTTP/1.10", 400},
               {"G@T / HTTP/1.1", 400},
               {"CONNECT a:1 HTTP/1.1", 501},
               {"GET /a b HTTP/1.1", 400},
               {"GET\t/ HTTP/1.1", 400},
               {"GET /\x80 HTTP/1.1", 400},
               {"GET /# HTTP/1.1", 400},
               {"", 400}};
  cw_request_line_t out;
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++)
    if (cw_check_request_line(SPAN(cases[i].line), &out) != cases[i].status)
      fail_msg("'%s'", cases[i].line);
}

static void targets(void **state) {
  cw_target_t t;
  assert_int_equal(cw_check_target(SPAN("GET"), SPAN("/a?b?c"), &t), 0);
  assert_memory_equal(t.path.p, "/a", t.path.len);
  assert_int_equal(t.query.len, 3);
  assert_int_equal(cw_check_target(SPAN("GET"), SPAN("http://h:1/p"), &t), 0);
  assert_memory_equal(t.authority.p, "h:1", 3);
  assert_int_equal(cw_check_target(SPAN("GET"), SPAN("HTTPS://h?q"), &t), 0);
  assert_true(t.https);
  assert_memory_equal(t.path.p, "/", 1);
  assert_int_equal(cw_check_target(SPAN("OPTIONS"), SPAN("*"), &t), 0);
  static const char *const bad[] = {
      "*", "a", "a:1", "ftp://h/", "http://", "http:///p", "http://u@h/", "//", "**"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_check_target(SPAN("GET"), SPAN(bad[i]), &t) == 0 &&
        strcmp(bad[i], "//") != 0)
      fail_msg("taken: %s", bad[i]);
}

static void percent(void **state) {
  char out[16];
  assert_int_equal(cw_percent_decode(SPAN("/a%20%C3%a9"), out), 5);
  assert_memory_equal(out, "/a \xc3\xa9", 5);
  static const char *const bare[] = {"%", "%4", "%zz", "a%", "%%%", "%4%"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bare); i++) {
    assert_int_equal(cw_percent_decode(SPAN(bare[i]), out), strlen(bare[i]));
    assert_memory_equal(out, bare[i], strlen(bare[i]));
  }
  assert_int_equal(cw_percent_decode(SPAN("%%41"), out), 2);
  assert_memory_equal(out, "%A", 2);
}

/* Feeds `text` whole and byte by byte: both must say the same. */
static ptrdiff_t scan(const char *text) {
  size_t n = strlen(text), at = 0, step = 0;
  ptrdiff_t whole = cw_scan_head(text, n, &at), slow = 0;
  for (size_t k = 1; k <= n && slow == 0; k++) slow = cw_scan_head(text, k, &step);
  if (whole != slow) fail_msg("'%s': whole %td, in steps %td", text, whole, slow);
  return whole;
}

static void head_ends(void **state) {
  assert_int_equal(scan("G / H\r\nA: b\r\n\r\n"), 15);
  assert_int_equal(scan("G / H\r\n\r\n"), 9);
  assert_int_equal(scan("G / H\r\nA: b\r\n"), 0);
  static const char *const bad[] = {
      "G / H\n\n",           "G / H\r\nA: b\n\r\n",
      "G\r / H\r\n\r\n",     "G / H\r\nA: b\rc\r\n\r\n",
      "G / H\r\n b\r\n\r\n", "G / H\r\nA: b\r\n\tc\r\n\r\n",
      "G / H\r\n\n",         "\n"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (scan(bad[i]) != -1) fail_msg("taken: %zu", i);
}

static void lists(void **state) {
  assert_true(cw_list_has(SPAN("keep-alive, Close"), "close"));
  assert_true(cw_list_has(SPAN(" close\t"), "close"));
  assert_false(cw_list_has(SPAN("closed"), "close"));
  assert_false(cw_list_has(SPAN(""), "close"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hosts),         cmocka_unit_test(host_with_nul),
      cmocka_unit_test(lengths),       cmocka_unit_test(transfer_encodings),
      cmocka_unit_test(request_lines), cmocka_unit_test(targets),
      cmocka_unit_test(percent),       cmocka_unit_test(head_ends),
      cmocka_unit_test(lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
