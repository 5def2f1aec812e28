"""A GStreamer RTSP server in a process of its own. Run by the system's Python (which has `gi`), not by the tests'.

One argument, JSON: `{"port": 0, "user": "", "password": "", "mounts": {"cam": {...}}}`. A mount is `{"file": PATH}`
(an MP4 file, one pass for each client, then the end) or live: `{"width", "height", "fps", "pattern", "key_interval"}`.
Prints `{"port": N}` when it listens. Reads commands from stdin, one JSON object a line:
`{"resize": "cam", "width": 320, "height": 240}`. Ends when stdin closes.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ROLE = "viewer"


def launch_line(mount):
    """The GStreamer pipeline of one mount."""
    if "file" in mount:
        return (
            f'( filesrc location="{mount["file"]}" ! qtdemux ! h264parse config-interval=-1 '
            "! rtph264pay name=pay0 pt=96 config-interval=1 )"
        )
    return (
        f"( videotestsrc is-live=true pattern={mount['pattern']} ! capsfilter name=size caps={caps(mount)} "
        f"! x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={mount['key_interval']} "
        "! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )


def caps(mount):
    """The raw picture that a live mount makes."""
    return f"video/x-raw,format=I420,width={mount['width']},height={mount['height']},framerate={mount['fps']}/1"


class Server:
    """The mounts, and the live media of each, so that commands can reach them."""

    def __init__(self, options):
        self.mounts = options["mounts"]
        self.media = {}
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address(options.get("address", "127.0.0.1"))
        self.server.set_service(str(options["port"]))
        if options["user"]:
            self.server.set_auth(basic_auth(options["user"], options["password"]))
        for name, mount in self.mounts.items():
            factory = GstRtspServer.RTSPMediaFactory()
            factory.set_launch(launch_line(mount))
            # Each client gets a stream of its own: a shared one refuses clients, and at times ends the server with a
            # failed assertion, when one client comes while another goes.
            factory.set_shared(False)
            factory.connect("media-configure", self.remember, name)
            if options["user"]:
                allow(factory)
            self.server.get_mount_points().add_factory(f"/{name}", factory)

    def remember(self, _factory, media, name):
        """Keep the newest media of a mount."""
        self.media[name] = media

    def command(self, channel, condition, loop):
        """One line from the tests."""
        line = channel.readline() if condition & GLib.IO_IN else ""
        if not line:
            loop.quit()
            return False
        order = json.loads(line)
        name = order["resize"]
        mount = {**self.mounts[name], "width": order["width"], "height": order["height"]}
        size = self.media[name].get_element().get_by_name("size")
        size.set_property("caps", Gst.Caps.from_string(caps(mount)))
        return True


def basic_auth(user, password):
    """One user who may see every mount."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    return auth


def allow(factory):
    """Let the one role see and build the mount."""
    rights = Gst.Structure.new_empty(ROLE)
    rights.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    rights.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    factory.add_role_from_structure(rights)


def main():
    Gst.init(None)
    loop = GLib.MainLoop()
    server = Server(json.loads(sys.argv[1]))
    if not server.server.attach(None):
        sys.exit("cannot listen")
    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, server.command, loop)
    print(json.dumps({"port": server.server.get_bound_port()}), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
