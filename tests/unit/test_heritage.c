/* SPDX-License-Identifier: MIT */
/* A heritage is looked at before it is read: each number that leads out of it, each
 * text that does not end. tests/fuzz/border.c looks for more. */
#include "unit/unit.h"

#include "base/heritage.h"

enum { WORDS = 8, SETTINGS = 6, SIZE = sizeof(cw_heritage_t) + WORDS + SETTINGS };

static union {
  cw_heritage_t h;
  char bytes[SIZE];
} it;

static void make(void) {
  memset(&it, 0, sizeof(it));
  it.h.magic = CW_HERITAGE_MAGIC;
  it.h.size = SIZE;
  it.h.n_listeners = 1;
  it.h.argc = 2;
  it.h.argv_off = sizeof(cw_heritage_t);
  it.h.settings_off = sizeof(cw_heritage_t) + WORDS;
  it.h.settings_len = SETTINGS;
  memcpy(it.bytes + it.h.argv_off, "cwsgi\0a", WORDS);
  memcpy(it.bytes + it.h.settings_off, "x=abc", SETTINGS);
}

static bool sound(void) {
  return cw_heritage_is_sound(&it, SIZE);
}

static void a_whole_one_is_sound(void **state) {
  make();
  assert_true(sound());
  assert_false(cw_heritage_is_sound(&it, SIZE - 1));
  assert_false(cw_heritage_is_sound(&it, sizeof(cw_heritage_t) - 1));
}

#define BROKEN(change)                           \
  do {                                           \
    make();                                      \
    change;                                      \
    if (sound()) fail_msg("taken: %s", #change); \
  } while (0)

static void numbers_stay_inside(void **state) {
  BROKEN(it.h.magic++);
  BROKEN(it.h.size++);
  BROKEN(it.h.n_listeners = -1);
  BROKEN(it.h.n_listeners = CW_MAX_LISTENERS + 1);
  BROKEN(it.h.argc = -1);
  BROKEN(it.h.argc = 3);
  BROKEN(it.h.argv_off = 8);
  BROKEN(it.h.argv_off = UINT32_MAX);
  BROKEN(it.h.settings_off = it.h.argv_off - 1);
  BROKEN(it.h.settings_off = SIZE + 1);
  BROKEN(it.h.settings_len = SETTINGS + 1);
  BROKEN(it.h.settings_len = UINT32_MAX);
}

static void texts_end(void **state) {
  BROKEN(memset(it.h.cwd, 'x', sizeof(it.h.cwd)));
  BROKEN(memset(it.h.listeners[0].host, 'x', sizeof(it.h.listeners[0].host)));
  BROKEN(memset(it.h.listeners[0].port, '1', sizeof(it.h.listeners[0].port)));
  BROKEN(it.bytes[SIZE - 1] = 'x');
  BROKEN(it.bytes[it.h.settings_off - 1] = 'x');
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_whole_one_is_sound),
      cmocka_unit_test(numbers_stay_inside),
      cmocka_unit_test(texts_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
