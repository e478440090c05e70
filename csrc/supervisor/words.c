/* SPDX-License-Identifier: MIT */
/* What the supervisor says to a worker: by a pipe of its own, and by signals. */
#include "supervisor/words.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int cw_words_open(worker_t *w) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  w->words = fds[1];
  return fds[0];
}

void cw_worker_forget(worker_t *w) {
  if (w->words) close(w->words);
  *w = (worker_t){.pid = 0};
}

void cw_worker_tell(worker_t *w, int sig) {
  char word = sig == SIGTERM   ? CW_WORD_STOP
              : sig == SIGUSR1 ? CW_WORD_REOPEN
                               : CW_WORD_QUIT;
  /* The word first: who ends by the signal has no more use for it. */
  if (w->words && write(w->words, &word, 1) != 1 && errno != EPIPE)
    cw_log(CW_LOG_WARNING, "worker (pid:%d) hears signals only: %s", (int)w->pid,
           strerror(errno));
  if (sig != SIGUSR1) w->sent = sig;
  kill(w->pid, sig);
}
