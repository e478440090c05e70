/* SPDX-License-Identifier: MIT */
/* What the supervisor says reaches a worker by its pipe as well as by a signal. */
#include "unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "supervisor/words.h"

enum { PID = 1000 };

static int sent; /* the last signal */

/* In the place of libc's: nobody is hit. */
int kill(pid_t pid, int sig) {
  assert_int_equal(pid, PID);
  sent = sig;
  return 0;
}

static void words_and_signals_are_one(void **state) {
  static const struct {
    int sig;
    char word;
  } all[] = {{SIGTERM, CW_WORD_STOP},
             {SIGQUIT, CW_WORD_QUIT},
             {SIGINT, CW_WORD_QUIT},
             {SIGUSR1, CW_WORD_REOPEN}};
  worker_t w = {.pid = PID};
  char word;
  int theirs = cw_words_open(&w);
  assert_true(theirs >= 0);
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    cw_worker_tell(&w, all[i].sig);
    assert_int_equal(sent, all[i].sig);
    assert_int_equal(read(theirs, &word, 1), 1);
    assert_int_equal(word, all[i].word);
  }
  /* What it was told to end by is remembered. */
  assert_int_equal(w.sent, SIGINT);
  /* It has closed its end: the signal goes all the same. */
  close(theirs);
  cw_worker_tell(&w, SIGTERM);
  assert_int_equal(sent, SIGTERM);
  cw_worker_forget(&w);
}

static void the_pipe_goes_with_the_worker(void **state) {
  worker_t w = {.pid = PID, .age = 3};
  char byte;
  int theirs = cw_words_open(&w);
  assert_true(theirs >= 0);
  assert_true(fcntl(theirs, F_GETFD) & FD_CLOEXEC);
  cw_worker_forget(&w);
  assert_int_equal(read(theirs, &byte, 1), 0); /* the end of it */
  assert_int_equal(w.pid, 0);
  assert_int_equal(w.age, 0);
  close(theirs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_and_signals_are_one),
      cmocka_unit_test(the_pipe_goes_with_the_worker),
  };
  signal(SIGPIPE, SIG_IGN); /* as in the supervisor */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
