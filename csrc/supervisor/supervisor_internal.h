/* SPDX-License-Identifier: MIT */
/* Shared by the files of supervisor/ only. One process, one thread: no locks.
 *
 * A *generation* is what one reading of the settings yields: settings, sockets, the
 * heritage its workers get, its zygote. A worker belongs to the generation it was
 * started from. `st->gen` is the one that workers are started from now; `st->fallback`
 * the one before it, kept until the new one has had a ready worker. */
#ifndef CW_SUPERVISOR_INTERNAL_H
#define CW_SUPERVISOR_INTERNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/board.h"
#include "base/heritage.h"
#include "base/log.h"
#include "base/options.h"
#include "supervisor/sockets.h"
#include "supervisor/supervisor.h"

enum {
  EXIT_CONFIG = 1,
  EXIT_BOOT = 3,
  EXIT_APP = 4,
  MS = 1000, /* of the microsecond clock */
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

/* How often something that others can bring about may wake us. */
typedef struct pace {
  int64_t since; /* begin of the present window, us */
  int n;         /* times in it */
} pace_t;

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
  } own;
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

/* generation.c: opens sockets (taking over those of `old`) and makes the heritage.
 * Takes `settings`, also on failure. NULL after saying what is wrong. */
generation_t *cw_generation_new(state_t *st, cw_settings_t *settings,
                                const generation_t *old);
/* Puts together what workers inherit. Returns 0, or -1 after saying why not. */
int cw_heritage_make(state_t *st, generation_t *gen);
/* Makes `gen->h_fd` of it, once: memory that nobody can change any more. Same results.
 */
int cw_heritage_share(generation_t *gen);
void cw_generation_ref(generation_t *gen);
/* Closes its sockets. The files of Unix sockets go with them, but for those that `kept`
 * (or NULL) has, too, and unless another cwsgi of an upgrade listens there. */
void cw_generation_unlisten(state_t *st, generation_t *gen, const generation_t *kept);
void cw_generation_unref(state_t *st, generation_t *gen);

/* board.c: the one side of the shared memory that the supervisor trusts, its own. */
/* Writes what the supervisor knows over whatever is there. */
void cw_board_publish(state_t *st);
/* Empties the slot for a worker that starts. */
void cw_board_clear(state_t *st, int slot);
/* Whether one more event of this kind may be looked at now. Where not, `*wait` (us, -1:
 * none) becomes no longer than the time until then. */
bool cw_pace_allows(const pace_t *p, int64_t now, int64_t *wait);
/* Counts one that was looked at. */
void cw_pace_note(pace_t *p, int64_t now);

/* child.c */
/* Forks a process that keeps nothing of the supervisor and enters Python; a zygote with
 * `own_fd`, what it is spoken to by (cw_heritage_t). Returns its id, or -1 after saying
 * why not.
 */
pid_t cw_child_fork_worker(state_t *st, generation_t *gen, int slot, int own_fd);
/* In a child that does not call exec: closes what exec would have closed. A socket that
 * it kept would go on listening when nobody serves it any more. */
void cw_close_private(void);
/* In a child: has the kernel send it `sig` when the supervisor, `parent`, ends, however
 * it does; ends at once where it has. A change of user makes the kernel forget it. */
void cw_child_tie(pid_t parent, int sig);
/* Goes to --chdir, or where we were started: paths in settings count from there, as
 * with gunicorn. */
void cw_enter_dir(state_t *st, const cw_settings_t *s);

/* words.c */
/* Makes the pipe in which a worker is spoken to. Returns the worker's end, or -1. */
int cw_words_open(worker_t *w);
/* Says TERM, QUIT (or INT) or USR1, by the signal and by a word. */
void cw_worker_tell(worker_t *w, int sig);
/* Frees what is kept of a worker that is gone. */
void cw_worker_forget(worker_t *w);

/* workers.c */
/* Starts, tells to go and kills what is due. Returns how long to sleep, us, or -1. */
int64_t cw_workers_reconcile(state_t *st);
/* Reads the pipe and looks at what workers have put on the board. */
void cw_workers_on_notify(state_t *st);
/* Grants a wish to reload that had to wait. Returns us until it may be, or -1. */
int64_t cw_workers_grant(state_t *st);
void cw_workers_on_end(state_t *st, int slot, int status, const struct rusage *ru);
/* The first worker of a generation, or its zygote, ended with `status` before it was
 * ready: nor will the next one. Falls back, or stops. */
void cw_start_failed(state_t *st, int status);
/* Sends a signal to every worker that lives. */
void cw_workers_signal(state_t *st, int sig);
bool cw_workers_alive(const state_t *st);
int cw_workers_count(const state_t *st);
/* Tells it to finish what it has and go. */
void cw_worker_retire(state_t *st, worker_t *w);
void cw_workers_kill_all(state_t *st);

/* zygote.c: --preload */
bool cw_zygote_wanted(const generation_t *gen);
/* Starts it if need be. */
void cw_zygote_have(state_t *st, generation_t *gen);
/* Asks a ready one for a worker, whose end of its pipe goes along. Returns 0, or -1
 * where it does not listen. */
int cw_zygote_ask(generation_t *gen, int slot, int word_fd);
/* A process that nobody knows has ended: perhaps a worker that is yet to be named. */
void cw_zygotes_on_stranger(state_t *st, pid_t pid, int status,
                            const struct rusage *ru);
/* Reads what all of them have to say. May end generations. */
void cw_zygotes_on_message(state_t *st);
void cw_zygote_on_end(state_t *st, generation_t *gen, int status);
void cw_zygote_end(state_t *st, generation_t *gen);
/* Calls `fn` for every generation that has one. */
int cw_zygotes(state_t *st, generation_t **out, int max);

/* hooks.c: the master's hooks, in a helper process. Each call waits for the answer, but
 * not for ever. Nothing happens where the configuration has no such function. */
void cw_hooks_start(state_t *st);
void cw_hooks_call(state_t *st, const char *name, const char *fmt, ...) CW_PRINTF(3, 4);
/* USR1: log files that hooks have open may have been renamed. */
void cw_hooks_reopen(const state_t *st);
void cw_hooks_end(state_t *st);
/* The helper has died: starts another one, unless that is of no use. */
void cw_hooks_on_end(state_t *st);

/* watch.c: stuck workers, grown workers. Returns us until it wants to be called again,
 * or -1. */
int64_t cw_watch(state_t *st);

/* reload.c */
void cw_reload(state_t *st);
void cw_reload_failed(state_t *st, const char *why);
void cw_upgrade(state_t *st);
/* In the cwsgi that USR2 has started: takes over the end of the pipe that it tells. */
void cw_upgrade_begin(state_t *st);
/* There: tells the older one that this one serves. */
void cw_upgrade_ready(state_t *st);
/* In the older one: hears that. systemd believes a MAINPID only from the present one.
 */
void cw_upgrade_heard(state_t *st);

/* supervisor.c */
void cw_stop(state_t *st, bool quick);
void cw_say_listening(state_t *st);
/* With --daemon: lets the terminal go, and the process that waits there, with this exit
 * code. Done once, at the first ready worker or at the end. */
void cw_leave_terminal(state_t *st, int code);
/* Has the pid file where the settings of `st->gen` want it. */
void cw_move_pidfile(state_t *st);

#endif
