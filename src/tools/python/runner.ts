/**
 * The Python half: runs a cell as Jupyter does, and gives its reply as JSON:
 * `{error: string | null, timedOut: boolean, images: [{mediaType, data (base64)}]}`. What is printed goes out on its own.
 *
 * All that it needs is bound when it starts, since a cell may put anything in the place of builtins and modules.
 */
export const RUNNER: string = String.raw`
def _module():
    import ast, asyncio, base64, builtins, errno, inspect, io, json, linecache, os, socket, sys, time, traceback, types, warnings
    from asyncio import events

    FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
             ".webp": "image/webp", ".svg": "image/svg+xml"}
    MAX_IMAGES, MAX_IMAGE_BYTES = 16, 8 << 20
    state = {"cell": 0, "write": None, "images": [], "bytes": 0, "loop": None, "room": 0}
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    dumps, encode = json.dumps, base64.b64encode

    def no_network(*_, **__):
        raise OSError(errno.ENETUNREACH, "Network is unreachable: this Python has none")

    # or it would wait until the time is over
    socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = no_network

    class Stream(io.TextIOBase):
        encoding = "utf-8"
        errors = "replace"

        def __init__(self, fd):
            self._fd = fd

        def writable(self):
            return True

        def fileno(self):
            return self._fd

        def write(self, text):
            if not isinstance(text, str):
                raise TypeError("write() argument must be str, not " + type(text).__name__)
            kept = text[: state["room"]]
            state["room"] -= len(kept)
            state["write"](kept, len(text) - len(kept))
            return len(text)

        @property
        def buffer(self):
            return io.open(self._fd, "wb", buffering=0, closefd=False)

    class Sleeper:
        def select(self, timeout):
            if timeout is None:
                raise RuntimeError("deadlock: all tasks wait, and nothing is left that could wake them")
            if timeout > 0:
                time.sleep(timeout)
            return []

        def close(self):
            pass

    class Loop(asyncio.BaseEventLoop):
        """Without sockets there is nothing to wait for but time: so the loop can block."""

        def __init__(self):
            super().__init__()
            self._selector = Sleeper()

        def _process_events(self, event_list):
            pass

        def _write_to_self(self):
            pass

    class Policy(events._BaseDefaultEventLoopPolicy):
        _loop_factory = Loop

    def cell_loop():
        """For await at the top level; tasks go on in the next cell that waits."""
        if state["loop"] is None or state["loop"].is_closed():
            state["loop"] = Loop()
        events.set_event_loop(state["loop"])
        return state["loop"]

    plain_sleep = time.sleep

    def sleep(seconds, /):
        # the one of C doesn't notice interrupts
        if seconds < 0 or seconds != seconds:
            return plain_sleep(seconds)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            plain_sleep(min(left, 0.02))

    def keep_image(media_type, data):
        if isinstance(data, str):
            data = data.encode()
        kept = state["images"]
        if not isinstance(data, (bytes, bytearray, memoryview)):
            return False
        data = bytes(data)
        if len(kept) >= MAX_IMAGES or state["bytes"] + len(data) > MAX_IMAGE_BYTES:
            return False
        if all(other != data for _, other in kept):
            kept.append((media_type, data))
            state["bytes"] += len(data)
        return True

    def show(value):
        for name, media_type in (("_repr_png_", "image/png"), ("_repr_jpeg_", "image/jpeg"), ("_repr_svg_", "image/svg+xml")):
            method = getattr(type(value), name, None)
            if method is None:
                continue
            try:
                data = method(value)
            except Exception:
                continue
            data = data[0] if isinstance(data, tuple) else data
            if data is not None and keep_image(media_type, data):
                break
        text = repr(value)
        sys.stdout.write(text + "\n")

    def display(*values, **_):
        for value in values:
            show(value)

    def image_files():
        found = {}
        for folder, _, names in os.walk("/mnt/data"):
            for name in names:
                media_type = MEDIA.get(os.path.splitext(name)[1].lower())
                if media_type is not None:
                    path = os.path.join(folder, name)
                    try:
                        stat = os.stat(path)
                    except OSError:
                        continue
                    found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found

    def figures():
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        for number in pyplot.get_fignums():
            out = io.BytesIO()
            pyplot.figure(number).savefig(out, format="png")
            keep_image("image/png", out.getvalue())
        pyplot.close("all")

    def user_frames(error):
        """A traceback without the frames of the runner and of libraries."""
        todo, seen = [error], set()
        while todo:
            e = todo.pop()
            if e is None or id(e) in seen:
                continue
            seen.add(id(e))
            e.stack[:] = [frame for frame in e.stack if frame.filename.startswith("<cell ")]
            todo += [e.__cause__, e.__context__, *(e.exceptions or [])]
        text = "".join(error.format())
        return text if len(text) <= 6000 else text[:2000] + "\n…\n" + text[-4000:]

    def execute(code, name):
        # a traceback can quote the line
        lines = code.splitlines(True)
        linecache.cache[name] = (len(code), None, lines, name)
        tree = compile(code, name, "exec", FLAGS | ast.PyCF_ONLY_AST)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        value = None
        parts = [compile(tree, name, "exec", FLAGS)] if tree.body else []
        if last is not None:
            parts.append(compile(ast.Expression(last.value), name, "eval", FLAGS))
        for part in parts:
            value = eval(part, main.__dict__)
            if part.co_flags & inspect.CO_COROUTINE:
                value = cell_loop().run_until_complete(value)
        if last is not None and value is not None:
            if not code.rstrip().endswith(";"):
                show(value)
            main._ = value

    def run(code, seconds, room):
        state["room"] = room
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(), Stream(1), Stream(2)
        sys.modules["__main__"] = main
        state["cell"] += 1
        state["images"], state["bytes"] = [], 0
        name = "<cell " + str(state["cell"]) + ">"
        error, timed_out, began, before = None, False, time.monotonic(), {}
        reserve = None
        try:
            before = image_files()
            reserve = bytearray(4 << 20)
            execute(code, name)
        except SystemExit as e:
            if e.code not in (None, 0):
                error = "SystemExit: " + str(e.code)
        except BaseException as e:
            # room and time to tell of it
            reserve = None
            state["calm"]()
            timed_out = isinstance(e, KeyboardInterrupt) and time.monotonic() - began >= seconds * 0.999
            error = user_frames(traceback.TracebackException.from_exception(e))
        try:
            figures()
            for path, stamp in image_files().items():
                if before.get(path) != stamp and stamp[1] <= MAX_IMAGE_BYTES:
                    with io.open(path, "rb") as file:
                        keep_image(MEDIA[os.path.splitext(path)[1].lower()], file.read())
        except Exception as e:
            if error is None:
                error = user_frames(traceback.TracebackException.from_exception(e))
        state["calm"]()
        images = [{"mediaType": kind, "data": encode(data).decode()} for kind, data in state["images"]]
        state["images"] = []
        return dumps({"error": error, "timedOut": timed_out, "images": images})

    def missing(code):
        import importlib.util
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return "[]"
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module)
        tops = sorted({name.split(".")[0] for name in names})
        def lacks(name):
            try:
                return name not in sys.modules and importlib.util.find_spec(name) is None
            except (ImportError, ValueError, AttributeError):
                return True
        return dumps([name for name in tops if lacks(name)])

    def start(write, calm):
        state["write"], state["calm"] = write, calm
        time.sleep = sleep
        builtins.display = display
        os.makedirs("/mnt/data", exist_ok=True)
        os.makedirs("/home/user", exist_ok=True)
        os.chdir("/mnt/data")
        sys.path.insert(0, "/mnt/data")
        warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="<runner>")
        events._set_event_loop_policy(Policy())
        events._set_running_loop(None)
        asyncio.run = asyncio.runners.run
        for name in ("js", "pyodide_js"):
            sys.modules[name] = None
        sys.modules["__main__"] = main

    return start, run, missing

_start, _run, _missing = _module()
del _module
`;
