"""The settings by name and kind, and ``cfg``, the object through which hooks read them.

csrc/base/options_table.h and options_foreign.h are the one table; this is what Python needs
to know of it, held equal by tests/python/test_py_settings.py. Imported only where there is a
configuration file.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# What a value is. Seconds may have a fraction; a list is repeatable on the command line.
KINDS = {
    name: kind
    for kind, names in {
        "int": (
            "backlog workers threads max_requests max_requests_jitter limit_request_fields"
            " worker_connections limit_concurrency ws_max_queue"
        ),
        "seconds": (
            "timeout request_timeout graceful_timeout drain_delay keepalive header_timeout"
            " send_timeout body_timeout ws_ping_interval ws_ping_timeout"
            " block_warning"
        ),
        "bytes": (
            "max_memory limit_request_line limit_request_field_size limit_request_head"
            " limit_request_body"
            " buffer_body buffer_memory body_rate ws_max_size"
        ),
        "bool": (
            "check_config print_config reuse_port preload_app sendfile reload capture_output"
            " enable_stdio_inheritance syslog disable_redirect_access_to_syslog initgroups daemon"
            " allow_new_privileges log_query clear_untrusted_proxy_headers factory"
        ),
        "list": "bind mount raw_env warmup reload_extra_files",
        "text": (
            "config listen worker_class interface asgi_loop asgi_lifespan python header_map"
            " forwarded_allow_ips secure_scheme_headers forwarder_headers trusted_proxy_headers"
            " proxy_protocol proxy_allow_ips wsgi_app chdir pythonpath health reload_engine"
            " loglevel errorlog accesslog access_log_format logconfig logconfig_json logconfig_dict"
            " logger_class syslog_addr"
            " syslog_prefix syslog_facility metrics statsd_host statsd_prefix dogstatsd_tags"
            " proc_name user group umask pidfile ws_per_message_deflate root_path"
            " boot_trace prefetch"
        ),
    }.items()
    for name in names.split()
}

# Ours alone. gunicorn ignores names that it does not know, and so a file written for it may
# well use one of these for a function of its own.
OWN = frozenset(
    "listen request_timeout drain_delay max_memory python limit_request_body buffer_body"
    " header_timeout send_timeout body_timeout body_rate mount warmup health metrics"
    " allow_new_privileges log_query trusted_proxy_headers clear_untrusted_proxy_headers"
    " limit_request_head buffer_memory interface factory limit_concurrency block_warning"
    " ws_max_size ws_max_queue ws_ping_interval ws_ping_timeout ws_per_message_deflate"
    " boot_trace prefetch".split()
)

# Functions of the configuration file, by the numbers of arguments they may take.
HOOKS: "dict[str, tuple[int, ...]]" = {
    "on_starting": (1,),
    "on_reload": (1,),
    "when_ready": (1,),
    "pre_fork": (2,),
    "post_fork": (2,),
    "post_worker_init": (1,),
    "worker_int": (1,),
    "worker_abort": (1,),
    "pre_exec": (1,),
    "pre_request": (2,),
    "post_request": (4, 3, 2),
    "child_exit": (2,),
    "worker_exit": (2,),
    "nworkers_changed": (3,),
    "on_exit": (1,),
}

# gunicorn's other settings and what ``cfg`` says of them: its defaults.
FOREIGN: "dict[str, Any]" = {
    "default_proc_name": "gunicorn",
    "websocket_max_message_size": 16777216,
    "worker_tmp_dir": None,
    "tmp_upload_dir": None,
    "spew": False,
    "paste": None,
    "raw_paste_global_conf": [],
    "permit_obsolete_folding": False,
    "strip_header_spaces": False,
    "permit_unconventional_http_method": False,
    "permit_unconventional_http_version": False,
    "casefold_http_method": False,
    "keyfile": None,
    "certfile": None,
    "ssl_version": 2,
    "cert_reqs": 0,
    "ca_certs": None,
    "ciphers": None,
    "ssl_context": None,
    "suppress_ragged_eofs": True,
    "do_handshake_on_connect": False,
    "protocol": "http",
    "uwsgi_allow_ips": ["127.0.0.1", "::1"],
    "http_protocols": "h1",
    "http2_cleartext": "off",
    "http2_max_concurrent_streams": 100,
    "http2_initial_window_size": 65535,
    "http2_max_frame_size": 16384,
    "http2_max_header_list_size": 65536,
    "asgi_disconnect_grace_period": 3,
    "dirty_apps": [],
    "dirty_workers": 0,
    "dirty_threads": 1,
    "dirty_timeout": 300,
    "dirty_graceful_timeout": 30,
    "control_socket": None,
    "control_socket_mode": 0o600,
    "control_socket_disable": False,
    "http_parser": "auto",
    "enable_backlog_metric": False,
}

DEFAULT_LOGGER = "gunicorn.glogging.Logger"

# Other spellings of those defaults, of gunicorn's older versions and of its validators.
SPELLED: "dict[str, tuple[Any, ...]]" = {
    "uwsgi_allow_ips": ("127.0.0.1,::1", "127.0.0.1"),
    "http_protocols": (["h1"],),
    "ssl_version": ("TLS", "SSLv23", "2"),
    "ciphers": ("TLSv1",),
    "control_socket_mode": ("384", "0600", "0o600"),
}


def says_nothing(name: str, value: "Any") -> bool:
    """Return whether a setting that cannot be had has a value that changes nothing."""
    if not value or value == FOREIGN[name] or [value] == FOREIGN[name]:
        return True
    if name == "control_socket":
        return isinstance(value, str) and value.endswith("gunicorn.ctl")
    if value in SPELLED.get(name, ()):
        return True
    return (
        isinstance(value, str)
        and not isinstance(FOREIGN[name], str)
        and value == str(FOREIGN[name])
    )


# Text here, a list for gunicorn's users.
SPLIT = ("forwarded_allow_ips", "proxy_allow_ips", "forwarder_headers", "trusted_proxy_headers")

SCHEME_HEADERS = "X-FORWARDED-PROTOCOL=ssl,X-FORWARDED-PROTO=https,X-FORWARDED-SSL=on"


def takes(function: "Any", count: int) -> bool:
    """Return whether `function` can be called with `count` positional arguments.

    What cannot be looked into is taken to.
    """
    method = getattr(function, "__func__", None)
    code = getattr(function if method is None else method, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        import inspect

        try:
            inspect.signature(function).bind(*range(count))
        except TypeError:
            return False
        except ValueError:
            pass
        return True
    plain = function if method is None else method
    if len(plain.__kwdefaults__ or ()) < code.co_kwonlyargcount:
        return False
    if method is not None:
        count += 1
    least = code.co_argcount - len(plain.__defaults__ or ())
    return least <= count and (count <= code.co_argcount or bool(code.co_flags & 0x04))


def convert(name: str, text: str) -> "Any":
    """Return the value of an entry's text: int, float, bool or str, by the setting's kind.

    Seconds are an int where they are whole, as gunicorn has them. Text that does not fit its
    kind (an entry of a newer program) stays text.
    """
    kind = KINDS.get(name)
    try:
        if kind in ("int", "bytes"):
            return int(text)
        if kind == "seconds":
            seconds = float(text)
            return int(seconds) if seconds.is_integer() else seconds
    except ValueError:
        return text
    if kind == "bool":
        return text not in ("", "0")
    return text


def defaults(kind: str) -> "Any":
    """Return what a setting without an entry is."""
    return {"list": [], "text": None, "bool": False}.get(kind, 0)


def address(bind: str) -> "str | int | tuple[str, int]":
    """Return a bind text as gunicorn's ``cfg.address`` has it: path, descriptor or (host, port).

    The program has given a host that stood alone its port.
    """
    for prefix in ("unix:", "fd://"):
        if bind.startswith(prefix):
            rest = bind[len(prefix) :]
            return int(rest) if prefix == "fd://" and rest.isdigit() else rest
    host, _, port = bind.rpartition(":")
    if not port.isdigit():
        host, port = bind, os.environ.get("PORT") or "8000"
    return (host.strip("[]") or "0.0.0.0", int(port))


class Setting:
    """One value of ``cfg.settings``."""

    def __init__(self, name: str, value: "Any") -> None:
        self.name = name
        self.value = value

    def get(self) -> "Any":
        return self.value


class Config:
    """``cfg``: every setting as an attribute of gunicorn's name. Settings cannot be changed."""

    _values: "dict[str, Any]"

    def __init__(self, entries: "list[str]", namespace: "dict[str, Any] | None" = None) -> None:
        """Take the settings.

        Args:
            entries: ``name=value`` for plain values and ``name[=value`` (or ``name=value`` once
                more) for each element of a list, for every setting that has a value.
            namespace: what the configuration file defined; for its functions and dicts.
        """
        values: dict[str, Any] = {name: defaults(kind) for name, kind in KINDS.items()}
        values.update(FOREIGN)
        for entry in entries:
            name, _, text = entry.partition("=")
            if name.endswith("[") or KINDS.get(name) == "list":
                name = name.rstrip("[")
                values[name] = [*(values.get(name) or []), text]
            else:
                values[name] = convert(name, text)
        for name in SPLIT:
            parts = (values[name] or "").split(",")
            values[name] = [part.strip() for part in parts if part.strip()]
        values["secure_scheme_headers"] = dict(
            pair.partition("=")[::2]
            for pair in (values["secure_scheme_headers"] or SCHEME_HEADERS).split(",")
        )
        file = namespace or {}
        values["logconfig_dict"] = dict(file.get("logconfig_dict") or {})
        for name in HOOKS:
            values[name] = file.get(name) or _nothing
        values["logger_class"] = values["logger_class"] or DEFAULT_LOGGER
        if not values["bind"]:
            values["bind"] = [f"0.0.0.0:{os.environ.get('PORT') or 8080}"]
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> "Any":
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}") from None

    def __setattr__(self, name: str, value: object) -> "NoReturn":
        raise AttributeError(f"{name} cannot be set: settings are fixed when hooks run")

    def set(self, name: str, value: object) -> "NoReturn":
        """Refuse, as assignment does: nothing could come of it."""
        self.__setattr__(name, value)

    def __str__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in sorted(self._values.items()))

    @property
    def settings(self) -> "dict[str, Setting]":
        return {name: Setting(name, value) for name, value in self._values.items()}

    @property
    def proc_name(self) -> str:
        return self._values["proc_name"] or self._values["wsgi_app"] or "gunicorn"

    @property
    def user(self) -> int:
        """The user's number, as gunicorn has it."""
        return self.uid

    @property
    def group(self) -> int:
        return self.gid

    @property
    def env(self) -> "dict[str, str]":
        """What --env sets, as a dict."""
        return dict(pair.split("=", 1) for pair in self.raw_env if "=" in pair)

    @property
    def address(self) -> "list[str | int | tuple[str, int]]":
        return [address(bind) for bind in self.bind]

    @property
    def worker_class_str(self) -> str:
        return "gthread"

    @property
    def is_ssl(self) -> bool:
        return False

    @property
    def uid(self) -> int:
        user = self._values["user"]
        if not user:
            return os.geteuid()
        if user.isdigit():
            return int(user)
        import pwd

        return pwd.getpwnam(user).pw_uid

    @property
    def gid(self) -> int:
        group = self._values["group"]
        if not group:
            return os.getegid()
        if group.isdigit():
            return int(group)
        import grp

        return grp.getgrnam(group).gr_gid


def _nothing(*_: object) -> None:
    """A hook that the configuration file does not define."""
