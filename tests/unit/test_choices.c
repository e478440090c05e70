/* SPDX-License-Identifier: MIT */
/* Values of options that name one of a few ways. */
#include "unit/unit.h"

#include "base/choices.h"

static void names(void **state) {
  assert_int_equal(cw_proxy_mode_parse("off"), CW_PROXY_OFF);
  assert_int_equal(cw_proxy_mode_parse("V1"), CW_PROXY_V1);
  assert_int_equal(cw_proxy_mode_parse("v2"), CW_PROXY_V2);
  assert_int_equal(cw_proxy_mode_parse("auto"), CW_PROXY_AUTO);
  /* What a configuration file's True and False become. */
  assert_int_equal(cw_proxy_mode_parse("1"), CW_PROXY_AUTO);
  assert_int_equal(cw_proxy_mode_parse("0"), CW_PROXY_OFF);
  assert_int_equal(cw_proxy_mode_parse("v3"), -1);
  assert_int_equal(cw_proxy_mode_parse(""), -1);
  assert_int_equal(cw_underscores_parse("drop"), CW_UNDERSCORE_DROP);
  assert_int_equal(cw_underscores_parse("refuse"), CW_UNDERSCORE_REFUSE);
  assert_int_equal(cw_underscores_parse("dangerous"), CW_UNDERSCORE_KEEP);
  assert_int_equal(cw_underscores_parse("keep"), -1);
  assert_int_equal(cw_ws_compression_parse("off"), CW_WS_COMPRESS_OFF);
  assert_int_equal(cw_ws_compression_parse("On"), CW_WS_COMPRESS_ON);
  assert_int_equal(cw_ws_compression_parse("context"), CW_WS_COMPRESS_CONTEXT);
  assert_int_equal(cw_ws_compression_parse("True"), CW_WS_COMPRESS_ON);
  assert_int_equal(cw_ws_compression_parse("false"), CW_WS_COMPRESS_OFF);
  assert_int_equal(cw_ws_compression_parse("1"), CW_WS_COMPRESS_ON);
  assert_int_equal(cw_ws_compression_parse("0"), CW_WS_COMPRESS_OFF);
  assert_int_equal(cw_ws_compression_parse("yes"), -1);
}

static void lists_of_fields(void **state) {
  cw_span_t bad = {NULL, 0};
  assert_int_equal(cw_proxy_headers_parse(NULL, &bad), 0);
  assert_int_equal(cw_proxy_headers_parse("", &bad), 0);
  assert_int_equal(cw_proxy_headers_parse("X-Forwarded-For, x-forwarded-host ", &bad),
                   CW_SAYS_FOR | CW_SAYS_HOST);
  assert_int_equal(
      cw_proxy_headers_parse("x-forwarded-port,,forwarded,x-forwarded-proto", &bad),
      CW_SAYS_PORT | CW_SAYS_FORWARDED);
  assert_null(bad.p);
  assert_int_equal(cw_proxy_headers_parse("forwarded, x-real-ip", &bad), -1);
  assert_int_equal(bad.len, 9);
  assert_memory_equal(bad.p, "x-real-ip", 9);
  /* The begin of a name is none. */
  assert_int_equal(cw_proxy_headers_parse("forward", &bad), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names),
      cmocka_unit_test(lists_of_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
