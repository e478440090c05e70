/* SPDX-License-Identifier: MIT */
/* What the supervisor knows. One process, one thread: no locks.
 *
 * A *generation* is what one reading of the settings yields: settings, sockets, the
 * heritage its workers get, its zygote. A worker belongs to the generation it was
 * started from. `st->gen` is the one that workers are started from now; `st->fallback`
 * the one before it, kept until the new one has had a ready worker. */
#ifndef CW_SUPERVISOR_STATE_H
#define CW_SUPERVISOR_STATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/board.h"
#include "base/heritage.h"
#include "base/log.h"
#include "base/options.h"
#include "supervisor/pace.h"
#include "supervisor/sockets.h"
#include "supervisor/supervisor.h"

enum {
  MS = 1000,                 /* of the microsecond clock */
  KILL_MARGIN_US = 500 * MS, /* from a worker's own deadline to its end by force */
  RETRY_US = 1000 * MS, /* after a process could not be started for a reason of ours */
};

typedef struct zygote {
  pid_t pid;
  int fd; /* our end of the socket pair; -1: none */
  bool ready;
  int64_t next; /* when to start it again, us */
} zygote_t;

typedef struct generation {
  int users; /* workers alive, and st->gen, st->fallback */
  cw_settings_t settings;
  cw_sockets_t sockets;
  cw_heritage_t *h; /* a copy of our own; nobody else can change it */
  int h_fd;         /* what workers get: sealed. -1: not made yet */
  size_t h_size;
  bool alone;  /* there was none before it */
  bool proven; /* a worker of it has been ready */
  int want;    /* workers, when a reload began; for its failure */
  bool automatic;
  zygote_t zygote;
} generation_t;

typedef struct worker {
  pid_t pid;                 /* 0: none, or asked of the zygote */
  bool asked;                /* the zygote is about to fork it */
  generation_t *gen;         /* NULL: the slot is free */
  int age;                   /* running number of the worker */
  int64_t started, ready_at; /* us */
  bool ready;
  bool leaving;          /* a successor is wanted, then it is told to go */
  bool told;             /* it was told to go */
  bool stuck;            /* it goes because it was stuck */
  int sent;              /* the signal that it was last told to end by; 0: none */
  int64_t deadline;      /* when it is killed, us; 0: none */
  int64_t watch_started; /* watch time at its start, ms */
  int words;             /* its cw_word_t are written here; 0: none */
  int64_t beat;          /* its last sign of life that can be one, ms */
} worker_t;

/* What lower files have found, for the loop to act upon. Begins as {0}. */
typedef struct verdict {
  /* The first worker of `st->gen`, or its zygote, ended with `status` before it was
   * ready: nor will the next one. The first of several counts. */
  bool start_failed;
  int status;
  bool proven;       /* `st->gen` has its first ready worker */
  bool wants_reload; /* a worker that may wish for it does */
} verdict_t;

static inline void cw_verdict_start_failed(verdict_t *v, int status) {
  if (!v->start_failed) v->status = status;
  v->start_failed = true;
}

typedef struct stray {
  pid_t pid;
  int status;
  struct rusage ru;
} stray_t;

typedef struct state {
  const cw_launcher_t *launcher;
  cw_board_t *board;
  int board_fd, notify[2], signal_fd;
  generation_t *gen, *fallback;
  worker_t workers[CW_MAX_WORKERS];
  int want; /* workers */
  int n_ages;
  bool automatic; /* the number of workers is ours to choose */
  bool serving;   /* a worker has been ready */
  int failures;   /* failed starts in a row */
  int64_t next;   /* no worker is started before, us */
  bool stopping, quick;
  int64_t drain_until; /* of --drain-delay, before `stopping`, us; 0: not */
  int64_t deadline;    /* of the stop, us */
  int exit_code;
  sigset_t old_mask;

  struct {
    pid_t pid;
    int fd;          /* -1: none */
    int64_t started; /* us */
  } hooks;
  /* What the board shows copies of. */
  struct {
    int64_t watch_ms;
    uint64_t restarts, reloads;
    int used;
    bool draining;
  } published;
  struct {
    int64_t at, last; /* next and last tick, us */
  } watch;
  pace_t notes;       /* of the pipe that workers write to */
  pace_t answers;     /* of the zygotes' sockets */
  int64_t wished;     /* when a worker's wish to reload was granted, us */
  bool wishes_reload; /* one has to wait until it may be */
  struct {
    pid_t child;  /* the cwsgi that USR2 started, 0: none */
    pid_t parent; /* the one that started us, 0: none or gone */
    int heard;    /* the child says here that it serves, 0: none */
    int tell;     /* where we say so to the parent, 0: none */
  } upgrade;
  char *pidfile; /* as written; owned */
  bool daemon;
  int starter; /* the process that waits for our start is told here; 0: none */
  /* Ends of processes that no slot knows: a zygote may not have named them yet. */
  stray_t strays[16];
  unsigned n_strays;
} state_t;

#endif
