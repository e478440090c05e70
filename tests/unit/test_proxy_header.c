/* SPDX-License-Identifier: MIT */
/* PROXY headers. */
#include "unit/unit.h"

#include "http/proxy_header.h"

/* Parses whole and at every shorter length: nothing but "more" may be said before. */
static ssize_t parse(const char *p, size_t n, cw_proxy_mode_t mode,
                     cw_proxy_info_t *info) {
  ssize_t whole = cw_proxy_header_parse(p, n, mode, info);
  cw_proxy_info_t part;
  for (size_t k = 1; whole > 0 && k < (size_t)whole; k++)
    assert_int_equal(cw_proxy_header_parse(p, k, mode, &part), 0);
  return whole;
}

static void version_1(void **state) {
  cw_proxy_info_t info;
  const char *good = "PROXY TCP4 1.2.3.4 5.6.7.8 123 80\r\nGET";
  assert_int_equal(parse(good, strlen(good), CW_PROXY_V1, &info), 35);
  assert_string_equal(info.src_addr, "1.2.3.4");
  assert_string_equal(info.dst_port, "80");
  assert_string_equal(info.family, "TCP4");
  good = "PROXY TCP6 ::1 2001:db8::1 1 65535\r\n";
  assert_int_equal(parse(good, strlen(good), CW_PROXY_AUTO, &info), strlen(good));
  good = "PROXY UNKNOWN whatever\r\n";
  assert_int_equal(parse(good, strlen(good), CW_PROXY_V1, &info), strlen(good));
  assert_string_equal(info.family, "");
  static const char *const bad[] = {"GET / HTTP/1.1\r\n",
                                    "PROXY TCP4 1.2.3.4 5.6.7.8 123 80\n",
                                    "PROXY TCP4 1.2.3.4 5.6.7.8 123 65536\r\n",
                                    "PROXY TCP4 1.2.3.4 5.6.7.8 0123 80\r\n",
                                    "PROXY TCP4 1.2.3.4 5.6.7.8 123 80 9\r\n",
                                    "PROXY TCP4 ::1 ::1 123 80\r\n",
                                    "PROXY TCP5 1.2.3.4 5.6.7.8 123 80\r\n",
                                    "PROXY TCP4 1.2.3.4\r\n",
                                    "PROXY \r\n",
                                    "PROXY\r\n"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_proxy_header_parse(bad[i], strlen(bad[i]), CW_PROXY_V1, &info) !=
        CW_PROXY_BAD)
      fail_msg("taken: %s", bad[i]);
  /* The text form ends at no NUL. */
  assert_int_equal(cw_proxy_header_parse("PROXY TCP4 1.2.3.4\0x 5.6.7.8 1 2\r\n", 35,
                                         CW_PROXY_V1, &info),
                   CW_PROXY_BAD);
  char longest[200];
  memset(longest, 'x', sizeof(longest));
  memcpy(longest, "PROXY UNKNOWN ", 14);
  assert_int_equal(cw_proxy_header_parse(longest, 200, CW_PROXY_V1, &info),
                   CW_PROXY_BAD);
}

static void version_2(void **state) {
  static const char head[] =
      "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f"
      "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x7b\x00\x50"
      "abc";
  char copy[sizeof(head)];
  cw_proxy_info_t info;
  assert_int_equal(parse(head, sizeof(head) - 1, CW_PROXY_V2, &info), 31);
  assert_string_equal(info.src_addr, "1.2.3.4");
  assert_string_equal(info.src_port, "123");
  assert_string_equal(info.dst_addr, "5.6.7.8");
  memcpy(copy, head, sizeof(head));
  copy[12] = '\x20'; /* LOCAL */
  assert_int_equal(parse(copy, sizeof(head) - 1, CW_PROXY_AUTO, &info), 31);
  assert_string_equal(info.family, "");
  copy[12] = '\x31';
  assert_int_equal(parse(copy, sizeof(head) - 1, CW_PROXY_V2, &info), CW_PROXY_BAD);
  copy[12] = '\x21';
  copy[15] = '\x0b'; /* too short for two addresses */
  assert_int_equal(parse(copy, sizeof(head) - 1, CW_PROXY_V2, &info), CW_PROXY_BAD);
  copy[14] = '\x7f'; /* more than we skip */
  assert_int_equal(parse(copy, sizeof(head) - 1, CW_PROXY_V2, &info), CW_PROXY_BAD);
  assert_int_equal(parse("GET /", 5, CW_PROXY_AUTO, &info), CW_PROXY_NONE);
  assert_int_equal(parse("GET /", 5, CW_PROXY_V2, &info), CW_PROXY_BAD);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(version_1),
      cmocka_unit_test(version_2),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
