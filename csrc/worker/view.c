/* SPDX-License-Identifier: MIT */
/* Reading a board, and asking a worker through it. */
#include "worker/view.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/board.h"
#include "base/clock.h"

/* The board in a buffer, or NULL with an exception and the buffer given back. */
static cw_board_t *board_in(Py_buffer *view) {
  cw_board_t *b = view->buf;
  if (view->len >= (Py_ssize_t)offsetof(cw_board_t, watch_ms) &&
      (uintptr_t)b % _Alignof(cw_board_t) == 0 && b->magic == CW_BOARD_MAGIC) {
    if (b->layout == CW_BOARD_LAYOUT && view->len >= (Py_ssize_t)sizeof(*b)) return b;
    char theirs[sizeof(b->version)];
    memcpy(theirs, b->version, sizeof(theirs));
    theirs[sizeof(theirs) - 1] = '\0';
    PyErr_Format(PyExc_ValueError, "the board of cwsgi %s; this is cwsgi %s", theirs,
                 CW_VERSION);
  } else {
    PyErr_SetString(PyExc_ValueError, "no board of a cwsgi");
  }
  PyBuffer_Release(view);
  return NULL;
}

/* ---- a dict of it --------------------------------------------------------- */

/* Puts a new reference into `dict`, and takes it, also where it is NULL. */
static int put(PyObject *dict, const char *name, PyObject *value) {
  int rc = value ? PyDict_SetItemString(dict, name, value) : -1;
  Py_XDECREF(value);
  return rc;
}

static int put_count(PyObject *dict, const char *name, const _Atomic uint64_t *m) {
  return put(dict, name, PyLong_FromUnsignedLongLong(cw_metric_get(m)));
}

static int put_number(PyObject *dict, const char *name, int64_t n) {
  return put(dict, name, PyLong_FromLongLong(n));
}

/* Appends a new reference to `list`, and takes it. */
static int append(PyObject *list, PyObject *value) {
  int rc = value ? PyList_Append(list, value) : -1;
  Py_XDECREF(value);
  return rc;
}

static PyObject *histogram(const cw_histogram_t *h) {
  PyObject *list = PyList_New(0);
  for (int i = 0; list && i <= CW_BUCKETS; i++)
    if (append(list, PyLong_FromUnsignedLongLong(cw_metric_get(&h->bucket[i]))) < 0)
      Py_CLEAR(list);
  return list;
}

static PyObject *bounds(void) {
  PyObject *list = PyList_New(0);
  for (int i = 0; list && i < CW_BUCKETS; i++)
    if (append(list, PyLong_FromLongLong(cw_bucket_bounds[i])) < 0) Py_CLEAR(list);
  return list;
}

static PyObject *statuses(const cw_metrics_t *m) {
  PyObject *dict = PyDict_New();
  for (int i = 0; dict && i < CW_STATUSES; i++) {
    uint64_t n = cw_metric_get(&m->status[i]);
    char name[16];
    if (!n) continue;
    if (i < CW_STATUSES - 1)
      snprintf(name, sizeof(name), "%d", CW_STATUS_FIRST + i);
    else
      snprintf(name, sizeof(name), "other");
    if (put(dict, name, PyLong_FromUnsignedLongLong(n)) < 0) Py_CLEAR(dict);
  }
  return dict;
}

/* Lines that its threads run now. */
static PyObject *running(const cw_slot_t *slot) {
  PyObject *list = PyList_New(0);
  for (int i = 0; list && i < CW_RUNNING; i++) {
    char line[CW_RUNNING_LINE];
    if (!atomic_load(&slot->running[i].busy)) continue;
    memcpy(line, slot->running[i].line, sizeof(line));
    Py_ssize_t n = (Py_ssize_t)strnlen(line, sizeof(line));
    if (append(list, PyUnicode_DecodeUTF8(line, n, "backslashreplace")) < 0)
      Py_CLEAR(list);
  }
  return list;
}

static PyObject *slot_of(const cw_slot_t *s, int number) {
  const cw_metrics_t *m = &s->metrics;
  const struct {
    const char *name;
    const _Atomic uint64_t *value;
  } counts[] = {{"requests", &m->requests},
                {"accepted", &m->accepted},
                {"received", &m->received},
                {"sent", &m->sent},
                {"access_dropped", &m->access_dropped},
                {"ws_received", &m->ws_received},
                {"ws_received_bytes", &m->ws_received_bytes},
                {"ws_sent", &m->ws_sent},
                {"ws_sent_bytes", &m->ws_sent_bytes},
                {"connections", &m->connections},
                {"ws_open", &m->ws_open},
                {"given", &m->given},
                {"started", &m->started},
                {"finished", &m->finished},
                {"threads", &m->threads},
                {"duration_us", &m->duration.sum_us},
                {"queued_us", &m->queued.sum_us}};
  PyObject *dict = PyDict_New();
  if (!dict) return NULL;
  int rc = put_number(dict, "slot", number);
  rc |= put_number(dict, "state", atomic_load(&s->state));
  rc |= put_number(dict, "pid", atomic_load(&s->pid));
  rc |= put_number(dict, "age", atomic_load(&s->age));
  rc |= put_number(dict, "busy", atomic_load(&s->busy) != 0);
  rc |= put_number(dict, "threads_most", atomic_load(&s->threads));
  for (size_t i = 0; rc == 0 && i < CW_ARRAY_LEN(counts); i++)
    rc = put_count(dict, counts[i].name, counts[i].value);
  if (rc == 0) rc = put(dict, "duration", histogram(&m->duration));
  if (rc == 0) rc = put(dict, "queued", histogram(&m->queued));
  if (rc == 0) rc = put(dict, "status", statuses(m));
  if (rc == 0) rc = put(dict, "running", running(s));
  if (rc != 0) Py_CLEAR(dict);
  return dict;
}

static PyObject *slots_of(const cw_board_t *b) {
  PyObject *list = PyList_New(0);
  int used = cw_board_used(b);
  for (int i = 0; list && i < used; i++)
    if (append(list, slot_of(&b->slots[i], i)) < 0) Py_CLEAR(list);
  return list;
}

PyObject *cw_view_read(PyObject *module, PyObject *memory) {
  Py_buffer view;
  if (PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE) < 0) return NULL;
  const cw_board_t *b = board_in(&view);
  if (!b) return NULL;
  PyObject *dict = PyDict_New();
  int rc = dict ? 0 : -1;
  if (rc == 0) {
    Py_ssize_t n = (Py_ssize_t)strnlen(b->version, sizeof(b->version));
    rc = put(dict, "version", PyUnicode_DecodeUTF8(b->version, n, "backslashreplace"));
  }
  if (rc == 0) rc = put_number(dict, "draining", atomic_load(&b->draining) != 0);
  if (rc == 0) rc = put_count(dict, "restarts", &b->restarts);
  if (rc == 0) rc = put_count(dict, "reloads", &b->reloads);
  if (rc == 0) rc = put_number(dict, "workers", atomic_load(&b->workers));
  if (rc == 0) rc = put(dict, "bounds_us", bounds());
  if (rc == 0) rc = put(dict, "slots", slots_of(b));
  if (rc != 0) Py_CLEAR(dict);
  PyBuffer_Release(&view);
  return dict;
}

PyObject *cw_view_watch(PyObject *module, PyObject *args) {
  Py_buffer view;
  long long ms;
  if (!PyArg_ParseTuple(args, "w*L", &view, &ms)) return NULL;
  cw_board_t *b = board_in(&view);
  if (!b) return NULL;
  /* Another tool may look for longer. */
  int64_t until = cw_now_us() / 1000 + ms, was = atomic_load(&b->watched_until);
  if (ms > 0 && was < until) atomic_store(&b->watched_until, until);
  PyBuffer_Release(&view);
  return PyBool_FromLong(was > until - ms);
}

/* ---- stacks --------------------------------------------------------------- */

PyObject *cw_view_ask(PyObject *module, PyObject *args) {
  Py_buffer view;
  int slot, now;
  if (!PyArg_ParseTuple(args, "w*ip", &view, &slot, &now)) return NULL;
  cw_board_t *b = board_in(&view);
  if (!b) return NULL;
  cw_stacks_t *s = &b->stacks;
  uint32_t number = atomic_load(&s->answered) + 1;
  atomic_store(&s->slot, slot);
  atomic_store(&s->now, now);
  atomic_store(&s->asked, number);
  PyBuffer_Release(&view);
  return PyLong_FromUnsignedLong(number);
}

/* Gives memory back that the text took; the server would keep it for its life. */
static void forget(char *text, size_t n) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = ((uintptr_t)text + page - 1) & ~(page - 1);
  uintptr_t to = ((uintptr_t)text + n + page - 1) & ~(page - 1);
  uintptr_t last = ((uintptr_t)text + CW_STACKS) & ~(page - 1);
  to = CW_MIN(to, last);
  /* Where the kernel cannot, it stays. */
  if (to > from && madvise(text + (from - (uintptr_t)text), to - from, MADV_REMOVE))
    return;
}

PyObject *cw_view_answer(PyObject *module, PyObject *args) {
  Py_buffer view;
  unsigned number;
  if (!PyArg_ParseTuple(args, "w*I", &view, &number)) return NULL;
  cw_board_t *b = board_in(&view);
  if (!b) return NULL;
  cw_stacks_t *s = &b->stacks;
  PyObject *answer = NULL;
  if (atomic_load(&s->answered) == number) {
    size_t n = CW_MIN((size_t)atomic_load(&s->length), sizeof(s->text));
    answer = Py_BuildValue("(y#Ii)", s->text, (Py_ssize_t)n,
                           (unsigned)atomic_load(&s->whole), atomic_load(&s->error));
    forget(s->text, n);
  }
  PyBuffer_Release(&view);
  if (answer || PyErr_Occurred()) return answer;
  Py_RETURN_NONE;
}
