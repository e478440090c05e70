/* SPDX-License-Identifier: MIT */
/* Shared by the files of wsgi/ only. All functions need the GIL; the types' objects
 * hold a request only while it runs and fail cleanly afterwards. */
#ifndef CW_WSGI_INTERNAL_H
#define CW_WSGI_INTERNAL_H

#include <pthread.h>

#include "http/resp.h"
#include "wsgi/python.h"
#include "wsgi/shared.h"

/* deadline.c: RequestTimeout */
extern PyObject *cw_request_timeout;

/* mount.c */
void cw_mount_clear(void);

/* environ.c */
CW_RAISES int cw_environ_init(bool multithread, bool multiprocess);
void cw_environ_clear(void);
CW_NEW PyObject *cw_environ_new(const cw_head_t *head, PyObject *input,
                                const cw_mount_t *mount);

/* runner.c: what a thread that runs requests is doing. Guarded by the GIL; fetched once
 * a request, because thread-local storage of a shared library costs a call. */
typedef struct cw_runner {
  pthread_t id;
  bool open, hit;         /* deadline.c: may be interrupted; was */
  unsigned calls;         /* of apps that it has begun: tells one from the next */
  cw_req_t *req;          /* what it runs; NULL: nothing */
  PyObject *after;        /* after.c: list of what to call then, or NULL; owned */
  struct cw_runner *next; /* of all threads that ran a request */
} cw_runner_t;
/* The calling thread's, or NULL where it has run no request: a thread of the app. */
cw_runner_t *cw_runner(void);
/* The same, made at a thread's first request. NULL when out of memory. */
cw_runner_t *cw_runner_make(void);
/* The one of another thread, or NULL. */
cw_runner_t *cw_runner_of(pthread_t id);

/* after.c: cwsgi.after_response() */
CW_RAISES int cw_after_init(PyObject *module);
/* Runs what this thread's request has registered. */
void cw_after_run(cw_runner_t *runner);

/* deadline.c: RequestTimeout */
CW_RAISES int cw_deadline_init(PyObject *module);
/* The call that was interrupted is over: the exception must not hit the next one. */
void cw_deadline_clear(cw_runner_t *runner);

/* input_type.c */
CW_RAISES int cw_input_type_init(PyObject *module);
CW_NEW PyObject *cw_input_new(cw_req_t *req);
void cw_input_detach(PyObject *input);

/* errors.c */
int cw_errors_init(void); /* 0, or -1 with an exception */
CW_NEW PyObject *cw_errors_new(void);
/* Writes out this thread's unfinished line. */
void cw_errors_flush(void);

/* forks.c: raises OSError where the caller is in such a process: it has no connection.
 */
CW_RAISES int cw_forks_check(void);

/* file_wrapper.c */
CW_RAISES int cw_file_wrapper_init(PyObject *module);
extern PyTypeObject *cw_file_wrapper_type;
/* If `wrapper` stands for a regular file: its descriptor, the position reading starts
 * at and the length from there. Returns 1, or 0 where it has to be read instead, or
 * -1 with an exception. */
CW_RAISES int cw_file_wrapper_file(PyObject *wrapper, int *fd, int64_t *offset,
                                   int64_t *len);

/* upgrade.c: gunicorn.socket */
CW_RAISES int cw_upgrade_init(PyObject *module);
CW_NEW PyObject *cw_upgrade_new(cw_req_t *req);
void cw_upgrade_detach(PyObject *upgrade);

/* start_response.c */
CW_RAISES int cw_start_response_init(PyObject *module);
CW_NEW PyObject *cw_start_response_new(cw_req_t *req);
void cw_start_response_detach(PyObject *start_response);
/* Has what the app gives kept for the post_request hook: borrowed, None where
 * nothing was given. */
void cw_start_response_keep(PyObject *start_response);
CW_BORROWED PyObject *cw_start_response_status(PyObject *start_response);
CW_BORROWED PyObject *cw_start_response_headers(PyObject *start_response);
/* The Latin-1 bytes of a native string (PEP 3333, "A Note On String Types"), borrowed
 * from `s`; `what` names it in the TypeError or ValueError. */
CW_RAISES int cw_native_text(PyObject *s, const char *what, cw_span_t *out);

/* hints.c: wsgi.early_hints, for the request that the calling thread runs. */
CW_NEW PyObject *cw_early_hints_new(void);

/* send.c */
CW_RAISES int cw_send_init(PyObject *module);
/* Sends bytes of the body; `last` says that they end it. Waits for a slow client with
 * the GIL released. */
CW_RAISES int cw_send_bytes(cw_req_t *req, const char *p, size_t n, bool last);
/* The same with an item that the app gave, which must be bytes. */
CW_RAISES int cw_send_item(cw_req_t *req, PyObject *item, bool last);

/* close.c */
CW_RAISES int cw_close_init(void);
/* Calls obj.close() where there is one. Allocates nothing on the way to an ordinary
 * method, so that it runs when memory is short, too. */
CW_RAISES int cw_close(PyObject *obj);

#endif
