/* SPDX-License-Identifier: MIT */
/* The option table and its parser. */
#include "unit/unit.h"

#include <stdlib.h>

#include "base/options.h"

static char err[256];

/* Parses blank-separated words. */
static int parse(cw_settings_t *s, const char *words) {
  char copy[256], *argv[32], *save = NULL;
  int argc = 0;
  snprintf(copy, sizeof(copy), "%s", words);
  for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
    argv[argc++] = w;
  return cw_settings_read_args(s, argc, argv, CW_FROM_ARGV, err, sizeof(err));
}

static void every_spelling_of_a_value_is_taken(void **state) {
  static const char *const lines[] = {
      "-w 3", "-w3", "-w=3", "--workers 3", "--workers=3", "--workers 3 main:app"};
  for (size_t i = 0; i < CW_ARRAY_LEN(lines); i++) {
    cw_settings_t s;
    assert_int_equal(cw_settings_init(&s), 0);
    assert_int_equal(parse(&s, lines[i]), 0);
    assert_int_equal(cw_opt_num(&s, CW_OPT_WORKERS), 3);
    assert_true(cw_opt_given(&s, CW_OPT_WORKERS));
    assert_false(cw_opt_given(&s, CW_OPT_THREADS));
    assert_int_equal(cw_opt_num(&s, CW_OPT_THREADS), 8);
    cw_settings_fini(&s);
  }
}

static void units_are_understood(void **state) {
  cw_settings_t s;
  assert_int_equal(cw_settings_init(&s), 0);
  assert_int_equal(
      parse(&s, "--keep-alive 2.5 --buffer-body 3k --limit-request-body 9g"), 0);
  assert_int_equal(cw_opt_num(&s, CW_OPT_KEEPALIVE), 2500);
  assert_int_equal(cw_opt_num(&s, CW_OPT_BUFFER_BODY), 3072);
  assert_int_equal(cw_opt_num(&s, CW_OPT_LIMIT_REQUEST_BODY), (int64_t)9 << 30);
  cw_settings_fini(&s);
}

static void mistakes_are_named(void **state) {
  static const struct {
    const char *words, *says;
  } cases[] = {
      {"--treads 3", "did you mean '--threads'"},
      {"--workers", "needs a value"},
      {"-w", "needs a value"},
      {"-w two", "'two' is not a whole number"},
      {"-w -1", "'-1' is not a whole number"},
      {"-w 99999999999999999999", "is not a whole number"},
      {"--version=1", "takes no value"},
      {"--keep-alive 1.x", "is not a number of seconds"},
      {"--buffer-body 1q", "is not a number of bytes"},
      {"--buffer-body 9999999999g", "is not a number of bytes"},
      {"--keep-alive 99999999999", "is not a number of seconds"},
      {"a:b c:d", "one word too many"},
      {"-q", "unknown option '-q'"},
  };
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++) {
    cw_settings_t s;
    assert_int_equal(cw_settings_init(&s), 0);
    assert_int_equal(parse(&s, cases[i].words), -1);
    if (!strstr(err, cases[i].says)) fail_msg("%s: %s", cases[i].words, err);
    cw_settings_fini(&s);
  }
}

static void lists_grow_and_a_stronger_source_starts_over(void **state) {
  cw_settings_t s;
  char *weak[] = {"-b", ":1"};
  assert_int_equal(cw_settings_init(&s), 0);
  assert_int_equal(
      cw_settings_read_args(&s, 2, weak, CW_FROM_CMD_ARGS, err, sizeof(err)), 0);
  assert_int_equal(parse(&s, "-b :2 -b :3"), 0);
  assert_int_equal(s.v[CW_OPT_BIND].n_items, 2);
  assert_string_equal(cw_opt_str(&s, CW_OPT_BIND), ":2");
  cw_settings_fini(&s);
}

static void the_environment_gives_defaults(void **state) {
  cw_settings_t s;
  setenv("WEB_CONCURRENCY", "5", 1);
  assert_int_equal(cw_settings_init(&s), 0);
  assert_int_equal(cw_settings_read_env(&s, err, sizeof(err)), 0);
  assert_int_equal(cw_opt_num(&s, CW_OPT_WORKERS), 5);
  setenv("WEB_CONCURRENCY", "many", 1);
  assert_int_equal(cw_settings_read_env(&s, err, sizeof(err)), -1);
  assert_non_null(strstr(err, "WEB_CONCURRENCY"));
  unsetenv("WEB_CONCURRENCY");
  cw_settings_fini(&s);
}

static void packing_keeps_everything(void **state) {
  cw_settings_t a, b;
  cw_buf_t packed = {0};
  assert_int_equal(cw_settings_init(&a), 0);
  assert_int_equal(parse(&a,
                         "-b :1 -b unix:/x=y -w 4 --keep-alive 0.25 "
                         "--limit-request-body 64g m:f(a=1)"),
                   0);
  assert_int_equal(cw_settings_pack(&a, &packed), 0);
  assert_int_equal(cw_settings_init(&b), 0);
  assert_int_equal(cw_settings_unpack(&b, packed.p, packed.len), 0);
  assert_int_equal(b.v[CW_OPT_BIND].n_items, 2);
  assert_string_equal(b.v[CW_OPT_BIND].items[1], "unix:/x=y");
  assert_int_equal(cw_opt_num(&b, CW_OPT_WORKERS), 4);
  assert_int_equal(cw_opt_num(&b, CW_OPT_KEEPALIVE), 250);
  assert_int_equal(cw_opt_num(&b, CW_OPT_LIMIT_REQUEST_BODY), (int64_t)64 << 30);
  assert_string_equal(cw_opt_str(&b, CW_OPT_WSGI_APP), "m:f(a=1)");
  assert_int_equal(cw_settings_unpack(&b, "nonsense=1", 11), -1);
  cw_buf_free(&packed);
  cw_settings_fini(&a);
  cw_settings_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_spelling_of_a_value_is_taken),
      cmocka_unit_test(units_are_understood),
      cmocka_unit_test(mistakes_are_named),
      cmocka_unit_test(lists_grow_and_a_stronger_source_starts_over),
      cmocka_unit_test(the_environment_gives_defaults),
      cmocka_unit_test(packing_keeps_everything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
