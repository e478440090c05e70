/* SPDX-License-Identifier: MIT */
/* Worker processes from birth to burial. What is wanted is stated once, in
 * cw_workers_reconcile(): enough workers of the present generation, and of those that
 * have to go as many as are needed until their successors are ready. */
#include "supervisor/workers.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_codes.h"
#include "base/resources.h"
#include "base/signals.h"
#include "supervisor/board.h"
#include "supervisor/boot.h"
#include "supervisor/generation.h"
#include "supervisor/hooks.h"
#include "supervisor/pace.h"
#include "supervisor/words.h"
#include "supervisor/zygote.h"

enum {
  STEADY_US = 1000 * MS, /* a worker that served this long was no failed start */
  BACKOFF_FIRST_US = 100 * MS,
  BACKOFF_MAX_US = 30 * 1000 * MS,
};

/* ---- start ---------------------------------------------------------------- */

static int free_slot(const state_t *st) {
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (!st->workers[i].gen) return i;
  return -1;
}

static void start_worker(state_t *st) {
  generation_t *gen = st->gen;
  int slot = free_slot(st);
  if (slot < 0) return;
  worker_t *w = &st->workers[slot];
  if (cw_zygote_wanted(gen) && !gen->zygote.ready) {
    cw_zygote_have(st, gen);
    return;
  }
  cw_board_clear(st, slot);
  *w = (worker_t){.age = ++st->n_ages,
                  .started = cw_now_us(),
                  .watch_started = st->published.watch_ms,
                  .beat = st->published.watch_ms};
  cw_hooks_call(st, CW_HOOK_PRE_FORK, "%d %d", slot, w->age);
  int theirs = cw_words_open(w);
  if (theirs < 0) {
    cw_log(CW_LOG_ERROR, "cannot start a worker: %s", strerror(errno));
    st->next = cw_now_us() + RETRY_US;
    return;
  }
  if (cw_zygote_wanted(gen)) {
    int rc = cw_zygote_ask(gen, slot, theirs);
    close(theirs);
    if (rc != 0) {
      cw_worker_forget(w);
      return;
    }
    w->asked = true;
  } else {
    pid_t pid = cw_boot(st, gen, slot, theirs);
    close(theirs);
    if (pid < 0) {
      cw_worker_forget(w);
      st->next = cw_now_us() + RETRY_US;
      return;
    }
    w->pid = pid;
    atomic_store(&st->board->slots[slot].pid, (int)pid);
    cw_log(CW_LOG_INFO, "Booting worker with pid: %d", (int)pid);
    cw_hooks_forked(st, slot, w->age, pid);
  }
  w->gen = gen;
  cw_generation_ref(gen);
}

/* ---- the end -------------------------------------------------------------- */

void cw_worker_retire(state_t *st, worker_t *w) {
  int64_t grace =
      cw_opt_num(&w->gen->settings, CW_OPT_GRACEFUL_TIMEOUT) * MS + KILL_MARGIN_US;
  if (w->told || !w->pid) return;
  w->leaving = w->told = true;
  w->deadline = cw_now_us() + grace;
  cw_worker_tell(w, SIGTERM);
}

void cw_workers_signal(state_t *st, int sig) {
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].pid) cw_worker_tell(&st->workers[i], sig);
}

/* Its time is up. */
static void kill_late(state_t *st, int slot) {
  pid_t pid = st->workers[slot].pid;
  siginfo_t info;
  st->workers[slot].deadline = 0;
  /* Nobody but us reaps, so this cannot be; if it were, we would wait for ever. */
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 &&
      errno == ECHILD) {
    static const struct rusage none;
    verdict_t unused = {0}; /* it was told to go: no start has failed */
    cw_log(CW_LOG_ERROR, "Worker (pid:%d) is no child of this process", (int)pid);
    cw_workers_on_end(st, slot, 0, &none, &unused);
    return;
  }
  cw_log(CW_LOG_WARNING, "Worker (pid:%d) did not stop in time; killed", (int)pid);
  st->workers[slot].sent = SIGKILL;
  kill(pid, SIGKILL);
}

void cw_workers_kill_all(state_t *st) {
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].pid) kill_late(st, i);
}

bool cw_workers_alive(const state_t *st) {
  return cw_workers_count(st) > 0;
}

int cw_workers_count(const state_t *st) {
  int n = 0;
  for (int i = 0; i < CW_MAX_WORKERS; i++) n += st->workers[i].gen != NULL;
  return n;
}

/* What the threads of a dead worker were running. */
static void describe_running(const cw_slot_t *slot, bool with_query) {
  for (int i = 0; i < CW_RUNNING; i++) {
    char line[CW_RUNNING_LINE];
    if (!atomic_load(&slot->running[i].busy)) continue;
    memcpy(line, slot->running[i].line, sizeof(line));
    line[sizeof(line) - 1] = '\0';
    if (!with_query) line[strcspn(line, "?")] = '\0';
    cw_log(CW_LOG_ERROR, "  it was running: %s", line);
  }
}

/* `sent` is the signal that this process has sent last, 0: none. */
static void describe_end(pid_t pid, int status, const struct rusage *ru, int sent,
                         const cw_slot_t *slot, bool with_query) {
  int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  /* Its abort hook may take a second, then an alarm ends it. */
  bool ours = sig && (sig == sent || (sent == SIGABRT && sig == SIGALRM));
  if (ours && (sig == SIGTERM || sig == SIGQUIT || sig == SIGINT)) {
    cw_log(CW_LOG_INFO, "Worker exiting (pid: %d)", (int)pid);
  } else if (ours) {
    cw_log(CW_LOG_WARNING,
           "Worker (pid:%d) was ended by this process; it held up to %ld MiB", (int)pid,
           ru->ru_maxrss / 1024);
    describe_running(slot, with_query);
  } else if (sig) {
    cw_log(CW_LOG_ERROR, "Worker (pid:%d) was killed by SIG%s; it held up to %ld MiB%s",
           (int)pid, cw_signal_name(sig), ru->ru_maxrss / 1024,
           sig == SIGKILL ? ". Perhaps out of memory?" : "");
    describe_running(slot, with_query);
  } else if (WEXITSTATUS(status) != 0) {
    cw_log(CW_LOG_ERROR, "Worker (pid:%d) exited with code %d", (int)pid,
           WEXITSTATUS(status));
    describe_running(slot, with_query);
  } else {
    cw_log(CW_LOG_INFO, "Worker exiting (pid: %d)", (int)pid);
  }
}

/* Puts the next start off after failed ones: later and later, never not at all. */
static void back_off(state_t *st, bool failed) {
  int64_t wait = 0;
  if (!failed)
    st->failures = 0;
  else if (st->failures++ > 0)
    wait = CW_MIN((int64_t)BACKOFF_FIRST_US << CW_MIN(st->failures - 2, 10),
                  (int64_t)BACKOFF_MAX_US);
  st->next = cw_now_us() + wait;
  if (wait > 1000 * MS)
    cw_log(CW_LOG_WARNING, "workers end early: starting the next one in %.1f s",
           (double)wait / 1e6);
}

/* Whether a worker that ends with this code has said itself what is wrong with its app;
 * the app may end it with any other. */
static bool app_is_unusable(int code) {
  return code == CW_EXIT_BOOT || code == CW_EXIT_APP || code == CW_EXIT_NO_PACKAGE ||
         code == CW_EXIT_AGAIN;
}

void cw_workers_on_end(state_t *st, int slot, int status, const struct rusage *ru,
                       verdict_t *v) {
  worker_t *w = &st->workers[slot];
  generation_t *gen = w->gen;
  pid_t pid = w->pid;
  bool was_ready = w->ready, told = w->told || st->stopping;
  bool failed = WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
  int64_t served = was_ready ? cw_now_us() - w->ready_at : 0;
  int age = w->age;
  bool stuck = w->stuck;
  atomic_store(&st->board->slots[slot].state, CW_WORKER_NONE);
  atomic_store(&st->board->slots[slot].pid, 0);
  /* Its own last line has said it all when it was asked to go, and when its app cannot
   * be used. */
  bool unusable =
      !was_ready && WIFEXITED(status) && app_is_unusable(WEXITSTATUS(status));
  if ((!st->stopping && !unusable) || WIFSIGNALED(status))
    describe_end(pid, status, ru, w->sent, &st->board->slots[slot],
                 cw_opt_num(&gen->settings, CW_OPT_LOG_QUERY) != 0);
  cw_worker_forget(w);
  int code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  /* One that was replaced for being stuck did not end well, however politely. */
  cw_hooks_call(st, CW_HOOK_CHILD_EXIT, "%d %d %d %d", slot, age, (int)pid,
                stuck && code == 0 ? 1 : code);
  if (failed && (stuck || !told)) st->published.restarts++;
  if (!st->stopping && (!told || failed)) {
    if (!was_ready && gen == st->gen && !gen->proven && WIFEXITED(status))
      cw_verdict_start_failed(v, status);
    else if (!told)
      back_off(st, (failed || !was_ready) && served < STEADY_US);
  }
  cw_generation_unref(st, gen);
}

/* ---- ready ---------------------------------------------------------------- */

/* The first worker shows what one costs: start no more than the container holds. */
static void fit_to_memory(state_t *st, pid_t pid) {
  int64_t limit = cw_resources_memory(), one = cw_resources_private(pid);
  if (!st->automatic || limit == 0 || one <= 0 || st->want == 1) return;
  /* A fifth of the limit is left for requests and the kernel. */
  int64_t fit = CW_MAX(limit / 5 * 4 / one, 1);
  if (fit >= st->want) return;
  cw_log(CW_LOG_WARNING,
         "starting %d of %d workers: one holds %lld MiB after import, %lld MiB are "
         "granted",
         (int)fit, st->want, (long long)(one >> 20), (long long)(limit >> 20));
  st->want = (int)fit;
}

/* A worker's wish, if it may have one. */
static void hear(const state_t *st, worker_t *w, int wish, verdict_t *v) {
  const cw_settings_t *s = &w->gen->settings;
  if (wish == CW_WISH_RELOAD && w->gen == st->gen && cw_opt_num(s, CW_OPT_RELOAD))
    v->wants_reload = true;
  if (wish == CW_WISH_MAX_REQUESTS && cw_opt_num(s, CW_OPT_MAX_REQUESTS) &&
      !w->leaving) {
    cw_log(CW_LOG_INFO, "Worker (pid:%d) has served --max-requests: replacing it",
           (int)w->pid);
    w->leaving = true;
  }
}

void cw_workers_on_notify(state_t *st, verdict_t *v) {
  char bytes[CW_MAX_WORKERS];
  int64_t now = cw_now_us(), unused = -1;
  if (!cw_pace_allows(&st->notes, now, &unused)) return;
  /* One read: what is left wakes us again. */
  if (read(st->notify[0], bytes, sizeof(bytes)) > 0) cw_pace_note(&st->notes, now);
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    cw_slot_t *slot = &st->board->slots[i];
    if (!w->gen || !w->pid) continue;
    hear(st, w, atomic_exchange(&slot->wish, CW_WISH_NONE), v);
    if (w->ready || atomic_load(&slot->state) != CW_WORKER_READY) continue;
    w->ready = true;
    w->ready_at = cw_now_us();
    st->failures = 0;
    if (w->gen->proven || st->stopping || w->gen != st->gen) continue;
    w->gen->proven = v->proven = true;
    fit_to_memory(st, w->pid);
  }
}

/* ---- what is wanted ------------------------------------------------------- */

static bool keeps(const state_t *st, const worker_t *w) {
  return w->gen == st->gen && !w->leaving;
}

/* Of the workers for which `fn` holds, the one that was started first. */
static worker_t *oldest(state_t *st, bool keeper) {
  worker_t *found = NULL;
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    if (!w->gen || w->told || !w->pid || keeps(st, w) != keeper) continue;
    if (!found || w->age < found->age) found = w;
  }
  return found;
}

typedef struct count {
  int keepers, ready, starting;
  int leavers; /* not told yet */
} count_t;

static count_t count(const state_t *st) {
  count_t n = {0};
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    const worker_t *w = &st->workers[i];
    if (!w->gen) continue;
    if (keeps(st, w)) {
      n.keepers++;
      w->ready ? n.ready++ : n.starting++;
    } else {
      n.leavers += !w->told;
    }
  }
  return n;
}

static int64_t kill_due(state_t *st) {
  int64_t now = cw_now_us(), wait = -1;
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    if (!w->pid || !w->deadline) continue;
    if (w->deadline <= now) {
      kill_late(st, i);
    } else if (wait < 0 || w->deadline - now < wait) {
      wait = w->deadline - now;
    }
  }
  return wait;
}

int64_t cw_workers_reconcile(state_t *st) {
  int64_t wait = kill_due(st);
  /* Until it is proven, a generation's first worker goes ahead alone: a broken app
   * fails once, and takes no old worker with it. */
  int want = st->gen->proven ? st->want : CW_MIN(st->want, 1);
  for (;;) {
    int64_t now = cw_now_us();
    count_t n = count(st);
    worker_t *surplus = n.keepers > want && st->gen->proven ? oldest(st, true) : NULL;
    if (surplus) {
      cw_worker_retire(st, surplus);
      continue;
    }
    /* Old ones go as new ones are ready, so that never fewer than wanted serve. */
    bool may_go = st->gen->proven || st->want == 0; /* WINCH: no successor will come */
    worker_t *leaver =
        may_go && n.leavers > st->want - n.ready ? oldest(st, false) : NULL;
    if (leaver) {
      cw_worker_retire(st, leaver);
      continue;
    }
    /* One at a time where old ones still serve: memory for one more, not for all. */
    if (n.keepers >= want || (n.leavers > 0 && n.starting > 0)) return wait;
    if (st->next > now) return wait < 0 ? st->next - now : CW_MIN(wait, st->next - now);
    int before = st->n_ages;
    start_worker(st);
    if (st->n_ages == before || st->next > now || count(st).keepers == n.keepers) {
      if (st->next > now)
        return wait < 0 ? st->next - now : CW_MIN(wait, st->next - now);
      return wait; /* the zygote is awaited */
    }
  }
}
