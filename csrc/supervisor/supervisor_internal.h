/* SPDX-License-Identifier: MIT */
/* What the files of supervisor/ ask of each other, lowest first where they can be. */
#ifndef CW_SUPERVISOR_INTERNAL_H
#define CW_SUPERVISOR_INTERNAL_H

#include "supervisor/state.h"

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

/* boot.c */
/* Forks a process that keeps nothing of the supervisor and enters Python; `own_fd` is
 * what it is spoken to by (cw_heritage_t), or -1. Returns its id, or -1 after saying
 * why not. */
pid_t cw_boot(state_t *st, generation_t *gen, int slot, int own_fd);
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

/* zygote.c: --preload */
bool cw_zygote_wanted(const generation_t *gen);
/* Starts it if need be. */
void cw_zygote_have(state_t *st, generation_t *gen);
/* Asks a ready one for a worker, whose end of its pipe goes along. Returns 0, or -1
 * where it does not listen. */
int cw_zygote_ask(generation_t *gen, int slot, int word_fd);
/* Reads what it has to say next, without waiting, and notes it where it is ready.
 * Returns as recv(2). */
ssize_t cw_zygote_read(generation_t *gen, cw_zygote_message_t *m);
/* Lets it go: it ends with its socket. */
void cw_zygote_close(generation_t *gen);
/* Writes the generations that have one to `out`. Returns how many. */
int cw_zygotes(state_t *st, generation_t **out, int max);

/* workers.c */
/* Starts, tells to go and kills what is due. Returns how long to sleep, us, or -1. */
int64_t cw_workers_reconcile(state_t *st);
/* Reads the pipe and looks at what workers have put on the board. */
void cw_workers_on_notify(state_t *st, verdict_t *v);
/* The worker of `slot` has ended. May end its generation. */
void cw_workers_on_end(state_t *st, int slot, int status, const struct rusage *ru,
                       verdict_t *v);
/* Sends a signal to every worker that lives. */
void cw_workers_signal(state_t *st, int sig);
bool cw_workers_alive(const state_t *st);
int cw_workers_count(const state_t *st);
/* Tells it to finish what it has and go. */
void cw_worker_retire(state_t *st, worker_t *w);
void cw_workers_kill_all(state_t *st);

/* adopt.c: workers that zygotes fork */
/* A process that nobody knows has ended: perhaps a worker that is yet to be named. */
void cw_adopt_stranger(state_t *st, pid_t pid, int status, const struct rusage *ru);
/* Reads what all zygotes have to say. May end generations. */
void cw_adopt_read(state_t *st, verdict_t *v);
/* The zygote of `gen` has ended: who was asked of it will not come. */
void cw_adopt_on_zygote_end(state_t *st, generation_t *gen, int status, verdict_t *v);
/* Has it end, after it has named those that it was asked for. No more are: this process
 * stops, or `gen` is no longer the present one. */
void cw_adopt_end_zygote(state_t *st, generation_t *gen);

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

/* loop.c */
/* Watches signals and children until all is over. Returns the exit code. */
int cw_loop_run(state_t *st);
/* Acts on what was found. */
void cw_loop_act(state_t *st, const verdict_t *v);
/* Grants a wish to reload that had to wait. Returns us until it may be, or -1. */
int64_t cw_loop_grant(state_t *st);
/* With --daemon: lets the terminal go, and the process that waits there, with this exit
 * code. Done once, at the first ready worker or at the end. */
void cw_leave_terminal(state_t *st, int code);

#endif
