/* SPDX-License-Identifier: MIT */
/* Buffers, arena, lists, events, the HTTP date. */
#include "unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/event.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/signals.h"

static void buf_keeps_order_over_consumption(void **state) {
  cw_buf_t b = {0};
  unsigned char in = 0, out = 0;
  for (int round = 0; round < 2000; round++) {
    for (int i = 0; i < 7; i++, in++) assert_int_equal(cw_buf_append(&b, &in, 1), 0);
    for (int i = 0; i < 5; i++, out++) {
      assert_int_equal((unsigned char)b.p[b.off], out);
      cw_buf_consume(&b, 1);
    }
  }
  assert_int_equal(cw_buf_pending(&b), 4000);
  assert_true(b.cap < 16 * 1024); /* consumed bytes are not kept */
  cw_buf_free(&b);
  assert_null(b.p);
}

static void buf_is_unchanged_when_out_of_memory(void **state) {
  cw_buf_t b = {0};
  assert_int_equal(cw_buf_append(&b, "abc", 3), 0);
  static char big[4096];
  cw_fault_arm(1);
  assert_int_equal(cw_buf_append(&b, big, sizeof(big)), -1);
  assert_int_equal(cw_buf_pending(&b), 3);
  assert_memory_equal(b.p + b.off, "abc", 3);
  cw_buf_free(&b);
}

static void arena_grows_and_starts_over(void **state) {
  _Alignas(16) static char mem[256];
  cw_arena_t a;
  cw_arena_init(&a, mem, sizeof(mem));
  char *first = cw_arena_alloc(&a, 10);
  assert_ptr_equal(first, mem);
  char *big = cw_arena_alloc(&a, 100000);
  assert_non_null(big);
  memset(big, 1, 100000);
  assert_int_equal((uintptr_t)cw_arena_alloc(&a, 3) % 16, 0);
  cw_arena_reset(&a);
  assert_ptr_equal(cw_arena_alloc(&a, 10), mem);
  cw_fault_arm(1);
  assert_null(cw_arena_alloc(&a, 5000));
  cw_arena_reset(&a);
}

static void list_is_first_in_first_out(void **state) {
  cw_list_t head, a, b;
  cw_list_init(&head);
  assert_true(cw_list_empty(&head));
  cw_list_push(&head, &a);
  cw_list_push(&head, &b);
  assert_ptr_equal(head.next, &a);
  cw_list_remove(&a);
  cw_list_remove(&a); /* twice is harmless */
  assert_ptr_equal(head.next, &b);
  cw_list_remove(&b);
  assert_true(cw_list_empty(&head));
}

static void *set_later(void *event) {
  cw_event_set(event);
  return NULL;
}

static void event_is_remembered_and_wakes(void **state) {
  cw_event_t e;
  cw_event_init(&e);
  cw_event_set(&e);
  cw_event_set(&e);
  cw_event_wait(&e); /* returns at once */
  pthread_t t;
  assert_int_equal(pthread_create(&t, NULL, set_later, &e), 0);
  cw_event_wait(&e); /* both sets counted as one: this one needs the thread */
  pthread_join(t, NULL);
}

static void date_has_the_fixed_form(void **state) {
  const char *d = cw_http_date();
  assert_int_equal(strlen(d), CW_DATE_LEN);
  assert_memory_equal(d + 3, ", ", 2);
  assert_string_equal(d + 25, " GMT");
}

/* All of Linux's, as libc has them where it tells. */
static void signals_have_their_names(void **state) {
  static const struct {
    int sig;
    const char *name;
  } known[] = {{SIGTERM, "TERM"}, {SIGABRT, "ABRT"}, {SIGSEGV, "SEGV"},
               {SIGKILL, "KILL"}, {SIGCHLD, "CHLD"}, {SIGXFSZ, "XFSZ"},
               {SIGSYS, "SYS"},   {SIGIO, "POLL"},   {SIGWINCH, "WINCH"}};
  for (size_t i = 0; i < CW_ARRAY_LEN(known); i++)
    assert_string_equal(cw_signal_name(known[i].sig), known[i].name);
  for (int sig = 1; sig < 32; sig++) {
    assert_string_not_equal(cw_signal_name(sig), "?");
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
    assert_string_equal(cw_signal_name(sig), sigabbrev_np(sig));
#endif
  }
  const int unnamed[] = {-1, 0, 32, 64, 65, 1 << 20};
  for (size_t i = 0; i < CW_ARRAY_LEN(unnamed); i++)
    assert_string_equal(cw_signal_name(unnamed[i]), "?");
}

static void stops_that_wait_are_seen(void **state) {
  static const int stops[] = {SIGTERM, SIGINT, SIGQUIT};
  sigset_t set = cw_stop_signals(), before;
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &before);
  assert_false(cw_stop_pending());
  raise(SIGUSR1);
  assert_false(cw_stop_pending());
  for (size_t i = 0; i < CW_ARRAY_LEN(stops); i++) {
    raise(stops[i]);
    assert_true(cw_stop_pending());
    sigemptyset(&set);
    sigaddset(&set, stops[i]);
    assert_int_equal(sigwaitinfo(&set, NULL), stops[i]);
    assert_false(cw_stop_pending());
  }
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  assert_int_equal(sigwaitinfo(&set, NULL), SIGUSR1);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(buf_keeps_order_over_consumption),
      cmocka_unit_test(buf_is_unchanged_when_out_of_memory),
      cmocka_unit_test(arena_grows_and_starts_over),
      cmocka_unit_test(list_is_first_in_first_out),
      cmocka_unit_test(event_is_remembered_and_wakes),
      cmocka_unit_test(date_has_the_fixed_form),
      cmocka_unit_test(signals_have_their_names),
      cmocka_unit_test(stops_that_wait_are_seen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
