/* SPDX-License-Identifier: MIT */
/* Names of hooks. */
#include "base/hook_names.h"

#include <string.h>

#define CW_HOOK_ENTRY(id, name, of_master) {name, of_master},
static const struct {
  const char *name;
  bool of_master;
} hooks[] = {CW_HOOK_TABLE(CW_HOOK_ENTRY)};
#undef CW_HOOK_ENTRY

const char *cw_hook_name(cw_hook_t hook) {
  return hooks[hook].name;
}

cw_hook_t cw_hook_named(cw_span_t name) {
  cw_hook_t hook = 0;
  while (hook < CW_N_HOOKS && (strlen(hooks[hook].name) != name.len ||
                               memcmp(hooks[hook].name, name.p, name.len) != 0))
    hook++;
  return hook;
}

bool cw_hook_given(const cw_settings_t *s, cw_hook_t hook) {
  return cw_opt_has(s, CW_OPT_HOOKS, hooks[hook].name);
}

bool cw_hooks_given(const cw_settings_t *s, bool of_master) {
  for (cw_hook_t hook = 0; hook < CW_N_HOOKS; hook++)
    if (hooks[hook].of_master == of_master && cw_hook_given(s, hook)) return true;
  return false;
}
