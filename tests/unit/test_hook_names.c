/* SPDX-License-Identifier: MIT */
/* Names of hooks, and what a configuration has of them. */
#include "unit/unit.h"

#include "base/hook_names.h"

static void each_name_is_found(void **state) {
  for (cw_hook_t hook = 0; hook < CW_N_HOOKS; hook++)
    assert_int_equal(cw_hook_named(SPAN(cw_hook_name(hook))), hook);
  assert_int_equal(cw_hook_named(SPAN("on_start")), CW_N_HOOKS);
  assert_int_equal(cw_hook_named(SPAN("on_starting2")), CW_N_HOOKS);
  assert_int_equal(cw_hook_named(SPAN("")), CW_N_HOOKS);
}

static void those_of_the_master_and_of_workers_are_told_apart(void **state) {
  cw_settings_t s;
  assert_int_equal(cw_settings_init(&s), 0);
  assert_false(cw_hooks_given(&s, true));
  assert_false(cw_hooks_given(&s, false));
  assert_int_equal(cw_settings_set_text(&s, CW_OPT_HOOKS, "pre_request", CW_FROM_FILE),
                   0);
  assert_true(cw_hook_given(&s, CW_HOOK_PRE_REQUEST));
  assert_false(cw_hook_given(&s, CW_HOOK_POST_REQUEST));
  assert_false(cw_hooks_given(&s, true));
  assert_true(cw_hooks_given(&s, false));
  assert_int_equal(cw_settings_set_text(&s, CW_OPT_HOOKS, "on_exit", CW_FROM_FILE), 0);
  assert_true(cw_hooks_given(&s, true));
  cw_settings_fini(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_name_is_found),
      cmocka_unit_test(those_of_the_master_and_of_workers_are_told_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
