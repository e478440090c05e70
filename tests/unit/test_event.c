/* SPDX-License-Identifier: MIT */
/* Wake-ups between threads: none is lost, and none is waited for that has come. */
#include "unit/unit.h"

#include <pthread.h>
#include <unistd.h>

#include "base/event.h"

enum { ROUNDS = 20000 };

static cw_event_t ping, pong;
static int value; /* passed on with each event */

static void *answer(void *arg) {
  for (int i = 0; i < ROUNDS; i++) {
    cw_event_wait(&ping);
    value++;
    cw_event_set(&pong);
  }
  return NULL;
}

static void each_wake_up_arrives_once(void **state) {
  pthread_t thread;
  cw_event_init(&ping);
  cw_event_init(&pong);
  assert_int_equal(pthread_create(&thread, NULL, answer, NULL), 0);
  for (int i = 0; i < ROUNDS; i++) {
    int before = value;
    cw_event_set(&ping);
    cw_event_wait(&pong);
    assert_int_equal(value, before + 1);
  }
  pthread_join(thread, NULL);
}

static void what_was_set_before_is_not_waited_for(void **state) {
  cw_event_init(&ping);
  cw_event_set(&ping);
  cw_event_set(&ping); /* one event, however often it is set */
  cw_event_wait(&ping);
  assert_int_equal(ping.set, 0);
}

static void a_wait_with_a_limit_ends(void **state) {
  pthread_t thread;
  cw_event_init(&ping);
  cw_event_init(&pong);
  assert_false(cw_event_wait_for(&ping, 1));
  cw_event_set(&ping);
  assert_true(cw_event_wait_for(&ping, 1));
  assert_false(cw_event_wait_for(&ping, 0));
  /* Ends at once where it is set meanwhile: the alarm would come before the limit. */
  assert_int_equal(pthread_create(&thread, NULL, answer, NULL), 0);
  for (int i = 0; i < ROUNDS; i++) {
    cw_event_set(&ping);
    while (!cw_event_wait_for(&pong, 3600 * 1000)) {
    }
  }
  pthread_join(thread, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_wake_up_arrives_once),
      cmocka_unit_test(what_was_set_before_is_not_waited_for),
      cmocka_unit_test(a_wait_with_a_limit_ends),
  };
  alarm(60); /* a lost wake-up waits for ever */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
