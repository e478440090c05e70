/* SPDX-License-Identifier: MIT */
/* The board: what supervisor and workers tell each other, in one shared mapping that
 * lives as long as the supervisor. Pages nobody writes to cost nothing. */
#ifndef CW_BASE_BOARD_H
#define CW_BASE_BOARD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/metrics.h"

enum {
  CW_MAX_WORKERS = 512,  /* slots; old and new workers of a reload together */
  CW_RUNNING = 32,       /* threads of a worker that note what they run */
  CW_RUNNING_LINE = 112, /* "GET /path", cut to this, NUL included */
  CW_STACKS = 1 << 20,   /* bytes of stacks that a worker shows */
  CW_BOARD_LAYOUT = 2,   /* raised whenever a field below moves */
};

/* The name of its memory, by which tools find it among the supervisor's descriptors. */
#define CW_BOARD_NAME "cwsgi-board"
#define CW_BOARD_MAGIC 0x63776264u

/* Has a worker write what its threads do, and go on. SIGABRT does so, too, and ends it.
 */
#define CW_SIGNAL_DUMP (SIGRTMIN + 5)

/* Has it look at the board: a tool is there (`stacks` and `watched_until`). */
#define CW_SIGNAL_SHOW (SIGRTMIN + 8)

typedef enum cw_worker_state {
  CW_WORKER_NONE,
  CW_WORKER_STARTING, /* importing the app */
  CW_WORKER_READY,    /* accepts connections */
  CW_WORKER_DRAINING, /* finishes what it has */
} cw_worker_state_t;

/* Why a worker asks for a successor. */
typedef enum cw_wish {
  CW_WISH_NONE,
  CW_WISH_MAX_REQUESTS, /* it has served --max-requests */
  CW_WISH_RELOAD,       /* a file of the app has changed: reload everything */
} cw_wish_t;

/* What a thread runs, for the report when its worker dies.
 * busy: written by that thread and cleared by the supervisor. Any value but 0 is true.
 * line: written by that thread. A reader may see a line that is just being written, or
 *       any bytes at all: it ends its own copy with NUL and escapes it. */
typedef struct cw_running {
  _Atomic int busy;
  char line[CW_RUNNING_LINE];
} cw_running_t;

/* One worker's part. Every process that has the app's rights can write to all of this,
 * and the supervisor may have more rights than they: "checked" says how.
 *
 * state:   the worker (READY, DRAINING) and the supervisor (NONE, STARTING). Compared,
 *          never used as an index. The supervisor remembers READY once it has seen it.
 * pid:     the supervisor. It never reads it back: it sends signals to the ids that it
 *          keeps itself. For the metrics, workers read /proc/PID/statm of it.
 * age:     the supervisor. The worker reads it once, to tell its hooks.
 * wish:    the worker. RELOAD counts only with --reload and once a second,
 *          MAX_REQUESTS only with --max-requests; anything else is none.
 * busy:    the worker. Read by other workers: any value but 0 is true.
 * threads: the worker: --threads, for tools. Shown as it is.
 * beat:    the worker. One in the future, or before an earlier one, is none.
 * oldest:  the worker. One in the future, or before the worker's start, is none.
 * metrics: the worker. Added up without sign, so that no sum is undefined. */
typedef struct cw_slot {
  _Atomic int state;      /* cw_worker_state_t */
  _Atomic int pid;        /* of the worker; 0: none */
  _Atomic int age;        /* its running number */
  _Atomic int wish;       /* cw_wish_t */
  _Atomic int busy;       /* all its threads are in the app */
  _Atomic int threads;    /* that may run the app */
  _Atomic int64_t beat;   /* watch time at its last sign of life; 0: none yet */
  _Atomic int64_t oldest; /* watch time at which its oldest request began; 0: none */
  cw_metrics_t metrics;
  cw_running_t running[CW_RUNNING];
} cw_slot_t;

/* What a worker's threads do, for a tool that asks one worker at a time. The tool holds
 * a lock on the board's file (flock) meanwhile. It believes nothing of what it finds:
 * lengths are cut, and text is escaped before somebody sees it.
 *
 * asked, slot, now: the tool, before its signal. `now`: in the signal's handler, for a
 *                   loop that does not turn; no library is loaded there for C's stacks.
 * answered:         the worker, `asked` as it found that, when all the rest is there.
 * length, whole:    the worker: bytes in `text`, and of what it has to show.
 * error:            the worker: an errno, where it has nothing to show. */
typedef struct cw_stacks {
  _Atomic uint32_t asked, answered;
  _Atomic int slot; /* CW_SLOT_ZYGOTE (base/heritage.h): a process that preloads */
  _Atomic int now;
  _Atomic uint32_t length, whole;
  _Atomic int error;
  char text[CW_STACKS];
} cw_stacks_t;

/* magic, layout, version: the supervisor, once, before there is a worker. Tools of
 *     another version look at these first.
 *
 * watched_until: tools that look again and again (`cwsgi top`), in ms of
 *     CLOCK_MONOTONIC. Until then workers time their requests: whoever writes nonsense
 *     costs them that. A worker looks here when CW_SIGNAL_SHOW comes.
 *
 * The fields before the slots are copies of what the supervisor keeps for itself. It
 * writes them again at every turn of its loop and never reads them; workers do:
 *
 * watch_ms: put into `beat` and `oldest` as it is; the scheduler subtracts without
 *           sign.
 * draining: any value but 0 is true.
 * restarts, reloads, workers: shown as they are.
 * used:     by cw_board_used(), which keeps it inside the slots. */
typedef struct cw_board {
  uint32_t magic, layout;
  char version[24]; /* of the supervisor: CW_VERSION */
  /* Milliseconds that the supervisor has seen pass, at its own pace: a container whose
   * CPU was taken away does not age meanwhile. 0 where nothing is watched. */
  _Atomic int64_t watch_ms;
  _Atomic int draining;      /* TERM was received, --drain-delay runs */
  _Atomic uint64_t restarts; /* workers replaced because they died or were stuck */
  _Atomic uint64_t reloads;
  _Atomic int workers; /* wanted */
  _Atomic int used;    /* slots from here on have never had a worker */
  _Atomic int64_t watched_until;
  cw_slot_t slots[CW_MAX_WORKERS];
  cw_stacks_t stacks;
} cw_board_t;

/* How many slots are worth a look. Any process, any thread. */
static inline int cw_board_used(const cw_board_t *board) {
  int used = atomic_load(&board->used);
  return used < 0 ? 0 : used > CW_MAX_WORKERS ? CW_MAX_WORKERS : used;
}

#endif
