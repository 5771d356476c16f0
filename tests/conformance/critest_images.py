# SPDX-License-Identifier: Apache-2.0
"""The images that critest asks for, by the last part of their names, made of busybox.

What each must do is what the tests say of it; nothing of the originals is in them.
"""

import subprocess

from testbed import image

# A web server that tests know by its name, by its title and by the file with its process id.
WEB_SERVER = """\
#!/bin/sh
trap 'exit 0' TERM INT QUIT
echo "httpd: serves port $1"
httpd -f -p "$1" -h /www &
echo $$ >/run/nginx.pid
wait
"""

# Its file belongs to root and has the setuid bit.
WHO_AM_I = """\
#include <stdio.h>
#include <unistd.h>
int main(void) { return printf("Effective uid: %d\\n", geteuid()) < 0; }
"""

# What Debian's busybox has not, as far as tests want it.
PROGRAMS = {
    "bin/pgrep": '#!/bin/sh\ncd /proc; grep -lx "$1" [1-9]*/comm | cut -d/ -f1 | grep .\n',
    "bin/ipcs": "#!/bin/sh\ncat /proc/sysvipc/shm\n"}

GROUPS = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/home:/bin/sh\n",
          "etc/group": "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n"}
USERS = {"user-uid": "1002", "user-username": "www-data", "user-uid-group": "1003:users",
         "user-username-group": "www-data:100"}


def make(work):
    """{name:tag: image}; `work` is a folder to compile in."""
    def web_server(port):
        return image.make(folders={"www": 0o755}, links={"var/run": "../run"},
                          files={"bin/nginx": WEB_SERVER, "www/index.html": "<p>kata-cpp</p>\n"},
                          settings={"Cmd": ["nginx", str(port), "master process"]})

    def numbered(number):
        return image.make(files={f"test-image-{number}": ""})
    several = numbered("tags")
    return {
        "busybox:1.29-2": image.make(files=PROGRAMS), "nginx:1.14-2": web_server(80), "httpd:2.4.39-4": web_server(80),
        f"hostnet-nginx-{image.ARCHITECTURE}:latest": web_server(12003),
        "nonewprivs:1.3": image.make(files={"bin/who-am-i": _compiled(work)}, settings={"Cmd": ["who-am-i"]},
                                     modes={"bin/who-am-i": 0o4755}),
        # Not the one that pods use: tests remove all names of an image.
        "pause:3.9": image.make(files={"pause": ""}),
        "test-image-latest:latest": numbered("latest"), "test-image-tag:test": numbered("test"),
        "test-image-tag:all": numbered("all"),
        "test-image-predefined-group:latest": image.make(files=GROUPS, settings={"User": "1000"}),
        **{f"test-image-{number}:latest": numbered(number) for number in (1, 2, 3)},
        **{f"test-image-tags:{number}": several for number in (1, 2, 3)},
        **{f"test-image-{word}:latest": image.make(settings={"User": user})
           for word, user in USERS.items()}}


def _compiled(work):
    with open(f"{work}/who-am-i.c", "w") as file:
        file.write(WHO_AM_I)
    subprocess.run(["gcc", "-static", "-O1", "-o", f"{work}/who-am-i", file.name], check=True)
    with open(f"{work}/who-am-i", "rb") as program:
        return program.read()
