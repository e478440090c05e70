/* SPDX-License-Identifier: MIT */
/* Access log formats, and texts that are none. */
#include "unit/unit.h"

#include "base/access_format.h"

static void bad_formats_name_the_atom(void **state) {
  static const struct {
    const char *format, *named;
  } all[] = {{"%(x)s", "%(x)"}, {"%(h)s %(hh)s", "%(hh)"}, {"%h", "%h"},
             {"%(h", "%(h"},    {"%({X}z)s", "%({X}z)"},   {"%({}i)s", "%({}i)"},
             {"%(h)d", "%(h)"}, {"%(h)", "%(h)"},          {"50% %(h)s", "% %(h)s"},
             {"%(s)x", "%(s)"}, {"%(s)9999s", "%(s)"},     {"%", "%"}};
  char err[300];
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    if (cw_access_format_check(all[i].format, err, sizeof(err)) == 0)
      fail_msg("taken: %s", all[i].format);
    assert_non_null(strstr(err, "--access-logformat"));
    if (!strstr(err, all[i].named)) fail_msg("%s: %s", all[i].format, err);
  }
  static const char *const good[] = {
      "",         "json",     "gcp",
      "combined", "plain",    "%(D)d",
      "%%",       "%(B)-8d|", "%({a}i)s%({b}o)s%({c}e)s"};
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++)
    assert_int_equal(cw_access_format_check(good[i], err, sizeof(err)), 0);
}

static void names_are_told(void **state) {
  cw_access_format_t f;
  char err[100];
  assert_int_equal(
      cw_access_format_compile(&f, "%({A}o)s %({wsgi.x}e)s %({B}o)s %({Y}e)s", err,
                               sizeof(err)),
      0);
  assert_int_equal(f.n_fields, 2);
  assert_int_equal(f.n_environ, 2);
  assert_string_equal(cw_access_format_name(&f, CW_ATOM_RESPONSE_FIELD, 1), "B");
  assert_string_equal(cw_access_format_name(&f, CW_ATOM_ENVIRON, 0), "wsgi.x");
  assert_null(cw_access_format_name(&f, CW_ATOM_ENVIRON, 2));
  cw_access_format_free(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bad_formats_name_the_atom),
      cmocka_unit_test(names_are_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
