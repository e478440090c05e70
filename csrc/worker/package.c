/* SPDX-License-Identifier: MIT */
/* Calls of the package's Python modules. */
#include "worker/package.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hook_names.h"
#include "base/log.h"
#include "worker/dump.h"
#include "wsgi/wsgi.h"

/* cwsgi._hooks.WorkerHooks, or NULL; freed by cw_package_end(). */
static PyObject *hooks;

/* The settings as a list of str "name=value". */
static CW_NEW PyObject *entries_of(const cw_settings_t *s) {
  cw_buf_t text = {0};
  PyObject *list = PyList_New(0);
  if (cw_settings_entries(s, &text) != 0) {
    PyErr_NoMemory();
    Py_CLEAR(list);
  }
  for (size_t at = 0; list && at < text.len; at += strlen(text.p + at) + 1) {
    PyObject *entry = PyUnicode_DecodeFSDefault(text.p + at);
    if (!entry || PyList_Append(list, entry) < 0) Py_CLEAR(list);
    Py_XDECREF(entry);
  }
  cw_buf_free(&text);
  return list;
}

/* The items of a list setting as a list of str. */
static CW_NEW PyObject *items_of(const cw_settings_t *s, cw_opt_t id) {
  const cw_value_t *v = &s->v[id];
  PyObject *list = PyList_New(0);
  for (unsigned i = 0; list && i < v->n_items; i++) {
    PyObject *item = PyUnicode_DecodeFSDefault(v->items[i]);
    if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
    Py_XDECREF(item);
  }
  return list;
}

/* Calls module.name(*args); `args` may be NULL with an exception set. */
static CW_NEW CW_STEALS(3) PyObject *call(const char *module_name, const char *name,
                                          PyObject *args) {
  PyObject *module = args ? PyImport_ImportModule(module_name) : NULL;
  PyObject *fn = module ? PyObject_GetAttrString(module, name) : NULL;
  PyObject *r = fn ? PyObject_CallObject(fn, args) : NULL;
  Py_XDECREF(fn);
  Py_XDECREF(module);
  Py_XDECREF(args);
  return r;
}

static CW_RAISES CW_STEALS(1) int done(PyObject *r) {
  Py_XDECREF(r);
  return r ? 0 : -1;
}

/* ---- before the app ------------------------------------------------------- */

/* --logger-class. 1 where it has set logging up, 0 where there is none, -1 with an
 * exception. */
static CW_RAISES int set_up_class(const cw_settings_t *s) {
  if (!cw_settings_have_logger(s)) return 0;
  if (done(call("cwsgi._logger_class", "install",
                Py_BuildValue("(N)", entries_of(s)))) < 0)
    return -1;
  PyObject *module = PyImport_ImportModule("cwsgi._logger_class");
  PyObject *report = module ? PyObject_GetAttrString(module, "report") : NULL;
  Py_XDECREF(module);
  if (!report) return -1;
  cw_wsgi_set_reporter(report); /* a reference for the process's life */
  return 1;
}

static CW_RAISES int set_up_logging(const cw_settings_t *s) {
  int used = set_up_class(s);
  if (used != 0) return used < 0 ? -1 : 0;
  if (cw_opt_str(s, CW_OPT_LOGCONFIG) || cw_opt_str(s, CW_OPT_LOGCONFIG_JSON) ||
      cw_opt_str(s, CW_OPT_LOGCONFIG_DICT))
    return done(
        call("cwsgi._log_config", "configure", Py_BuildValue("(N)", entries_of(s))));
  return done(call("cwsgi._gunicorn_loggers", "install_lazy",
                   Py_BuildValue("(ss)", cw_opt_str(s, CW_OPT_LOGLEVEL),
                                 cw_opt_str(s, CW_OPT_ERRORLOG))));
}

static CW_RAISES int make_hooks(const cw_settings_t *s) {
  if (!cw_hooks_given(s, false)) return 0;
  hooks = call("cwsgi._hooks", "WorkerHooks",
               Py_BuildValue("(sNN)", cw_opt_str(s, CW_OPT_CONFIG),
                             items_of(s, CW_OPT_HOOKS), entries_of(s)));
  if (!hooks) return -1;
  if (cw_hook_given(s, CW_HOOK_PRE_REQUEST) || cw_hook_given(s, CW_HOOK_POST_REQUEST))
    cw_wsgi_set_hooks(hooks);
  return 0;
}

int cw_package_begin(const cw_settings_t *s) {
  CW_ASSERT_GIL();
  /* It may have set up loggers, which comes before what settings say of them. */
  if (cw_opt_has(s, CW_OPT_HOOKS, CW_HOOKS_IMPORT) &&
      done(call("cwsgi._config", "load",
                Py_BuildValue("(s)", cw_opt_str(s, CW_OPT_CONFIG)))) < 0)
    return -1;
  return set_up_logging(s) < 0 || make_hooks(s) < 0 ? -1 : 0;
}

int cw_package_loaded(PyObject *app) {
  CW_ASSERT_GIL();
  return hooks ? done(PyObject_CallMethod(hooks, "set_app", "O", app)) : 0;
}

void cw_package_check_gevent(int threads) {
  CW_ASSERT_GIL();
  PyObject *modules = PyImport_GetModuleDict();                      /* borrowed */
  PyObject *monkey = PyDict_GetItemString(modules, "gevent.monkey"); /* borrowed */
  if (threads == 1 || !monkey) return;
  PyObject *r = PyObject_CallMethod(monkey, "is_module_patched", "s", "threading");
  if (r && PyObject_IsTrue(r) == 1)
    cw_log(
        CW_LOG_WARNING,
        "gevent has patched threading (monkey.patch_all), and %d threads run the app, "
        "each with a hub of its own: locks between them may wait for ever. Leave the "
        "patch out, since requests run in real threads here, or use --threads 1",
        threads);
  PyErr_Clear();
  Py_XDECREF(r);
}

int cw_package_forked(int age, int supervisor) {
  CW_ASSERT_GIL();
  return hooks ? done(PyObject_CallMethod(hooks, "post_fork", "ii", age, supervisor))
               : 0;
}

int cw_package_init_dump(const cw_settings_t *s) {
  CW_ASSERT_GIL();
  PyObject *hook = cw_hook_given(s, CW_HOOK_WORKER_ABORT)
                       ? PyObject_GetAttrString(hooks, "worker_abort")
                       : NULL;
  int rc = PyErr_Occurred()
               ? -1
               : cw_dump_init(cw_log_fd(), cw_opt_num(s, CW_OPT_TIMEOUT) > 0, hook);
  Py_XDECREF(hook);
  return rc;
}

/* ---- before the port opens ------------------------------------------------ */

/* The list that cwsgi.on_startup() or on_shutdown() fills, where somebody has imported
 * cwsgi and used it; else NULL without an exception. */
static CW_NEW PyObject *registered(const char *name) {
  PyObject *modules = PyImport_GetModuleDict();             /* borrowed */
  PyObject *cwsgi = PyDict_GetItemString(modules, "cwsgi"); /* borrowed */
  PyObject *list = cwsgi ? PyObject_GetAttrString(cwsgi, name) : NULL;
  if (!list) PyErr_Clear();
  if (list && PyObject_IsTrue(list) != 1) Py_CLEAR(list);
  return list;
}

static CW_RAISES int run_startup(bool has_loop) {
  PyObject *functions = registered("_startup_functions");
  if (!functions) return 0;
  Py_DECREF(functions);
  return done(call("cwsgi._startup", "run", Py_BuildValue("(i)", has_loop)));
}

static CW_RAISES int start_reloader(const cw_settings_t *s) {
  if (!cw_opt_num(s, CW_OPT_RELOAD)) return 0;
  PyObject *core = PyImport_ImportModule("cwsgi._core");
  PyObject *changed = core ? PyObject_GetAttrString(core, "_changed") : NULL;
  Py_XDECREF(core);
  if (!changed) return -1;
  return done(call("cwsgi._reload", "start",
                   Py_BuildValue("(sNN)", cw_opt_str(s, CW_OPT_RELOAD_ENGINE),
                                 items_of(s, CW_OPT_RELOAD_EXTRA_FILES), changed)));
}

/* For Py_BuildValue("O&"): a path as Python has it. */
static CW_NEW PyObject *to_path(void *text) {
  return PyUnicode_DecodeFSDefault(text);
}

int cw_package_await_change(const cw_settings_t *s, const char *folder, int64_t began) {
  CW_ASSERT_GIL();
  return done(call("cwsgi._reload", "await_change",
                   Py_BuildValue("(NO&L)", items_of(s, CW_OPT_RELOAD_EXTRA_FILES),
                                 to_path, folder, (long long)began)));
}

int cw_package_start(const cw_settings_t *s, PyObject *app, bool has_loop) {
  CW_ASSERT_GIL();
  if (hooks && done(PyObject_CallMethod(hooks, "post_worker_init", "O", app)) < 0)
    return -1;
  return run_startup(has_loop) < 0 || start_reloader(s) < 0 ? -1 : 0;
}

/* ---- access lines ---------------------------------------------------------- */

static int route_fd = -1; /* the pipe to the thread that logs them; Python's */

int cw_package_route_access(cw_settings_t *s) {
  CW_ASSERT_GIL();
  static const cw_opt_t files[] = {CW_OPT_LOGCONFIG, CW_OPT_LOGCONFIG_JSON,
                                   CW_OPT_LOGCONFIG_DICT};
  const char *log = cw_opt_str(s, CW_OPT_ACCESSLOG), *path, *format;
  bool by_file = false,
       syslog = cw_opt_num(s, CW_OPT_SYSLOG) &&
                !cw_opt_num(s, CW_OPT_DISABLE_REDIRECT_ACCESS_TO_SYSLOG);
  for (size_t i = 0; i < CW_ARRAY_LEN(files); i++)
    by_file |= cw_opt_str(s, files[i]) != NULL;
  PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
  if (!PyDict_GetItemString(modules, "cwsgi._logger_class") &&
      (!PyDict_GetItemString(modules, "logging") || (!by_file && !log && !syslog)))
    return 0;
  PyObject *r = call("cwsgi._access", "prepare",
                     Py_BuildValue("(sziO)", cw_opt_str(s, CW_OPT_ACCESS_LOG_FORMAT),
                                   log, by_file, syslog ? Py_True : Py_False));
  int rc = r ? 0 : -1;
  if (r && r != Py_None) {
    if (!PyArg_ParseTuple(r, "ss", &path, &format)) {
      rc = -1;
    } else if (cw_settings_set_text(s, CW_OPT_ACCESSLOG, path, CW_FROM_ARGV) != 0 ||
               cw_settings_set_text(s, CW_OPT_ACCESS_LOG_FORMAT, format,
                                    CW_FROM_ARGV) != 0) {
      PyErr_NoMemory();
      rc = -1;
    }
    /* A handler of the configuration may send them there. */
    s->v[CW_OPT_DISABLE_REDIRECT_ACCESS_TO_SYSLOG].num = 1;
    if (rc == 0) route_fd = atoi(strrchr(path, '/') + 1);
  }
  Py_XDECREF(r);
  return rc;
}

void cw_package_reopen_access_nogil(void) {
  if (route_fd >= 0 && write(route_fd, "\5\n", 2) != 2)
    cw_log(CW_LOG_ERROR, "log files of Python's handlers are not reopened: %s",
           strerror(errno));
}

void cw_package_finish_access(void) {
  CW_ASSERT_GIL();
  if (route_fd >= 0 && done(call("cwsgi._access", "finish", PyTuple_New(0))) < 0)
    cw_wsgi_report("Access lines may be missing");
}

/* ---- the end -------------------------------------------------------------- */

void cw_package_end(int64_t grace_ms, bool interrupted) {
  CW_ASSERT_GIL();
  PyObject *functions = registered("_shutdown_functions");
  if (functions && done(call("cwsgi._startup", "shutdown",
                             Py_BuildValue("(d)", (double)grace_ms / 1000))) < 0)
    cw_wsgi_report("Exception in cwsgi.on_shutdown functions");
  Py_XDECREF(functions);
  if (hooks && interrupted && done(PyObject_CallMethod(hooks, "worker_int", NULL)) < 0)
    cw_wsgi_report("Exception in the worker_int hook");
  if (hooks && done(PyObject_CallMethod(hooks, "worker_exit", NULL)) < 0)
    cw_wsgi_report("Exception in the worker_exit hook");
  cw_wsgi_set_hooks(NULL);
  Py_CLEAR(hooks);
}
