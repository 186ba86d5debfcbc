package hostconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/hostconfig/plan"
)

func ign(rest string) string { return `{"ignition":{"version":"3.4.0"}` + rest + `}` }

func storage(rest string) string { return ign(`,"storage":{` + rest + `}`) }

func user(rest string) string { return ign(`,"passwd":{"users":[{"name":"u",` + rest + `}]}`) }

func TestWhatIsNotSupportedIsRefusedByName(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		ign(`,"\u001b[31m\u202e\n":1`): `config:1:33: \x1b[31m\u202e\n: there is no such key`,

		"":                              "config:1:1: the configuration is empty",
		"#!/bin/sh\n":                   "config:1:1: a script: nothing is run; want Ignition or cloud-config",
		"#include\nhttp://x":            `config:1:1: "#include": want one cloud-config, without parts, includes and templates`,
		"## template: jinja\n":          "without parts, includes and templates",
		"Content-Type: multipart/mixed": "without parts, includes and templates",
		"\x1f\x8b\x08":                  "it is compressed",
		"hostname: x":                   "want Ignition, which begins with {, or cloud-config, whose first line is #cloud-config",
		strings.Repeat("x", MostSize+1): "want at most 1048576",

		"{":                                "config:1:2: not JSON: it ends too early",
		`{"a":}`:                           "not JSON: invalid character '}'",
		"{}x":                              "config:1:3: something follows the end",
		`{}`:                               "config:1:1: ignition: is missing",
		`{"ignition":{}}`:                  "ignition.version: is missing",
		`{"ignition":{"version":"2.2.0"}}`: `ignition.version: "2.2.0": want 3.0.0 to 3.4.0`,
		`{"ignition":{"version":"3.5.0"}}`: `"3.5.0": want 3.0.0 to 3.4.0`,
		`{"ignition":{"version":"3.4.0-experimental"}}`:                                                            "want 3.0.0 to 3.4.0",
		`{"ignition":{"version":3}}`:                                                                               `"3": want a version such as 3.4.0`,
		`{"ignition":{"version":"3.4.0","version":"3.4.0"}}`:                                                       `config:1:32: key "version": want it once`,
		"{\"ignition\":{\"version\":\"3.4.0\xff\"}}":                                                               "config:1:30: a byte that is not UTF-8",
		strings.Repeat(`{"a":`, 100):                                                                               "nested over 64 levels",
		ign(`,"x":1`):                                                                                              "config:1:33: x: there is no such key",
		ign(`,"kernelArguments":{"shouldExist":["a"]}`):                                                            "kernelArguments: the kernel's command line is a part of the signed kernel image",
		`{"ignition":{"version":"3.4.0","config":{"merge":[{"source":"data:,"}]}}}`:                                "ignition.config: want the whole configuration in one",
		`{"ignition":{"version":"3.4.0","proxy":{"httpProxy":"x"}}}`:                                               "ignition.proxy: nothing is fetched",
		storage(`"disks":[{"device":"/dev/sda"}]`):                                                                 "storage.disks: the disk's partitions are the release's",
		storage(`"luks":[{"name":"x"}]`):                                                                           "storage.luks: give varEncryption to the recipe",
		storage(`"raid":[{"name":"x"}]`):                                                                           "storage.raid: ",
		storage(`"filesystems":[{"device":"/dev/sdb","format":"ext4"}]`):                                           `storage.filesystems[0].device: "/dev/sdb"`,
		storage(`"filesystems":[{"device":"/dev/disk/by-partlabel/var","format":"xfs"}]`):                          "storage.filesystems[0].format: \"xfs\": var is ext4",
		storage(`"filesystems":[{"device":"/dev/disk/by-partlabel/var","format":"ext4","wipeFilesystem":true}]`):   "wipeFilesystem: var is made at the first boot and never wiped",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"https://h/x"}}]`):                                 "storage.files[0].contents.source: https: there is no network yet",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"s3://h/x"}}]`):                                    "s3: there is no network yet",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"file:///x"}}]`):                                   `"file:///x": want a data: URL`,
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:x"}}]`):                                      "data: URL without a comma",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,%zz"}}]`):                                   `invalid URL escape "%zz"`,
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:;base64,*"}}]`):                              "illegal base64 data",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,x","compression":"xz"}}]`):                  `compression: "xz": want gzip or nothing`,
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,x","compression":"gzip"}}]`):                "contents.source: not gzip",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,x","httpHeaders":[{"name":"a"}]}}]`):        "httpHeaders: nothing is fetched",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,x","verification":{"hash":"sha256-00"}}}]`): "the contents have sha256-2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881: want sha256-00",
		storage(`"files":[{"path":"/etc/a","contents":{"source":"data:,x","verification":{"hash":"md5-00"}}}]`):    "want sha256- or sha512-",
		storage(`"files":[{"path":"etc/a"}]`):                                                                      `storage.files[0].path: "etc/a": want an absolute path`,
		storage(`"files":[{"path":"/etc/../usr/a"}]`):                                                              `want it as "/usr/a"`,
		storage(`"files":[{"path":"/etc/a","mode":"0644"}]`):                                                       "storage.files[0].mode: want a whole number from 0 to 4095",
		storage(`"files":[{"path":"/etc/a","mode":420.5}]`):                                                        "mode: want a whole number",
		storage(`"files":[{"path":"/etc/a","mode":10000}]`):                                                        "mode: want a whole number from 0 to 4095",
		storage(`"files":[{"path":"/etc/a","user":{"id":4294967295}}]`):                                            "user.id: want a whole number from 0 to 4294967294",
		storage(`"files":[{"path":"/etc/a","user":{"id":1,"name":"x"}}]`):                                          "user: want an id or a name",
		storage(`"files":[{"path":"/etc/a","overwrite":true}]`):                                                    "overwrite: want contents.source with it",
		storage(`"files":[{"path":"/etc/a","append":[{}]}]`):                                                       "append[0]: want a source",
		storage(`"files":[{"path":"/etc/a"},{"path":"/etc/a"}]`):                                                   `"/etc/a" is there twice`,
		storage(`"files":[{"path":"/etc/a"}],"links":[{"path":"/etc/a","target":"x"}]`):                            `"/etc/a" is there twice`,
		storage(`"files":[{"path":"/etc/l/a"}],"links":[{"path":"/etc/l","target":"/usr"}]`):                       "path /etc/l/a leads through /etc/l, which is a link",
		`{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/a","mode":2541}]}}`:                     "2541 has special bits (setuid, setgid, sticky): want version 3.4.0",

		user(`"passwordHash":"secret"`):                                             "passwd.users[0].passwordHash: want a hash as crypt(5) makes it",
		user(`"sshAuthorizedKeys":["ssh-rsa x"]`):                                   "sshAuthorizedKeys[0]: \"ssh-rsa x\": want a public key",
		user(`"gecos":"a:b"`):                                                       "gecos: \"a:b\": want a text without colon and control characters",
		user(`"homeDir":"home"`):                                                    "homeDir: \"home\": want an absolute path",
		user(`"uid":-1`):                                                            "uid: want a whole number",
		ign(`,"passwd":{"users":[{"name":"a b"}]}`):                                 `passwd.users[0].name: "a b": want letters`,
		ign(`,"passwd":{"users":[{}]}`):                                             "passwd.users[0].name: is missing",
		ign(`,"systemd":{"units":[{"name":"x"}]}`):                                  `systemd.units[0].name: "x": want the name of a unit`,
		ign(`,"systemd":{"units":[{"name":"x.service","contents":"nonsense"}]}`):    `contents: line 1 "nonsense": want a section`,
		ign(`,"systemd":{"units":[{"name":"x.service","dropins":[{"name":"x"}]}]}`): `dropins[0].name: "x": want a name that ends in .conf`,

		"#cloud-config\npackages: [vim]\n":                                            "config:2:1: packages: the system is the release's",
		"#cloud-config\nruncmd: [reboot]\n":                                           "runcmd[0]: nothing is run: write a unit by write_files",
		"#cloud-config\nruncmd: [[systemctl, start, x]]\n":                            "runcmd[0]: systemctl start: want enable",
		"#cloud-config\nruncmd: [systemctl --root=/x enable x]\n":                     "systemctl --root=/x: nothing is run",
		"#cloud-config\nbootcmd: [x]\n":                                               "bootcmd: nothing is run",
		"#cloud-config\nssh_authorized_keys: [x]\n":                                   "ssh_authorized_keys: there is no default user",
		"#cloud-config\nusers: [default]\n":                                           `users[0]: "default": there is no default user`,
		"#cloud-config\nusers: [{name: u, plain_text_passwd: x}]\n":                   "users[0].plain_text_passwd: want a hash in passwd",
		"#cloud-config\nusers: [{name: u, ssh_import_id: [gh:x]}]\n":                  "ssh_import_id: there is no network yet",
		"#cloud-config\nusers: [{name: u, sudo: \"a\\nb\"}]\n":                        "want a rule such as",
		"#cloud-config\nwrite_files: [{path: /etc/a, permissions: 644}]\n":            `write_files[0].permissions: "644": want octal digits in quotes`,
		"#cloud-config\nwrite_files: [{path: /etc/a, encoding: rot13}]\n":             `encoding "rot13": want b64`,
		"#cloud-config\nwrite_files: [{path: /etc/a, encoding: b64, content: '*'}]\n": "not base64",
		"#cloud-config\nwrite_files: [{path: /etc/a, owner: 'a:b:c'}]\n":              `"a:b:c": want USER:GROUP`,
		"#cloud-config\nwrite_files: [{path: /etc/a, source: {uri: x}}]\n":            "source: there is no network yet",
		"#cloud-config\nhostname: a_b\n":                                              `hostname: "a_b": want labels`,
		"#cloud-config\ntimezone: ../../etc/shadow\n":                                 `timezone: "../../etc/shadow": want the name of a time zone`,
		"#cloud-config\nfoo: 1\n":                                                     "config:2:1: foo: there is no such key",
		"#cloud-config\na: &x 1\n":                                                    "anchors, aliases, merge keys and tags are not allowed",
		"#cloud-config\nhostname: a\nhostname: b\n":                                   `key "hostname" is repeated`,
	} {
		_, err := Parse("config", []byte(config))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120q:\n got %v\nwant %s", config, err, want)
		}
	}
}

func TestEveryFaultIsTold(t *testing.T) {
	t.Parallel()
	_, err := Parse("c", []byte("{\"ignition\":{\"version\":\"3.4.0\"},\n \"storage\":{\"files\":[{\"path\":\"x\"},\n {\"path\":\"y\"}]}}"))
	const want = "c:2:23: storage.files[0].path: \"x\": want an absolute path\nc:3:3: storage.files[1].path: \"y\": want an absolute path"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestWhatSaysNothingIsNoFault(t *testing.T) {
	t.Parallel()
	for _, config := range []string{
		`{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":"3.3.0"},"kernelArguments":{},"passwd":{},"storage":{},"systemd":{}}`,
		ign(`,"storage":{"disks":[],"files":[{"path":"/etc/a","contents":{"source":null,"verification":{"hash":null}}}]}`),
		storage(`"filesystems":[{"device":"/dev/disk/by-partlabel/var","format":"ext4","path":"/var","label":"var","wipeFilesystem":false}]`),
		"#cloud-config\n", "#cloud-config\r\nhostname: a\r\n", "#cloud-config\npackages: []\nruncmd: [systemctl daemon-reload]\nssh_pwauth: unchanged\n",
	} {
		if _, err := Parse("config", []byte(config)); err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// TestWhatCannotBeDoneIsFoundBeforeTheFirstWrite holds configurations against
// the image, which must stay as it is.
func TestWhatCannotBeDoneIsFoundBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	more := map[string]string{
		"etc/out":                                "-> ../usr",
		"etc/up":                                 "-> ../../../../../../usr",
		"etc/loop":                               "-> loop",
		"var/escape":                             "-> /run",
		"etc/devnull":                            "-> /dev/null",
		"usr/lib/x":                              "",
		"var/home/evil/.ssh":                     "-> /etc",
		"etc/systemd/system/busy.service":        "-> /usr/lib/systemd/system/other.service",
		"usr/lib/systemd/system/aliased.service": "[Install]\nAlias=busy.service\n",
		"etc/systemd/system/masked.service":      "-> /dev/null",
		"var/lib/proa/agent/":                    "",
		"var/above":                              "-> .",
	}
	passwd := image["etc/passwd"] + "evil:x:1100:1100::/home/evil:/bin/sh\n"
	for config, want := range map[string]string{
		storage(`"files":[{"path":"/usr/bin/tool","overwrite":true,"contents":{"source":"data:,x"}}]`): "storage.files[0]: /usr/bin/tool is a part of the release and read-only: want a path in /etc or /var",
		storage(`"files":[{"path":"/etc/out/x"}]`):                                                     "/usr/x is a part of the release",
		storage(`"files":[{"path":"/etc/up/x"}]`):                                                      "/usr/x is a part of the release",
		storage(`"files":[{"path":"/var/escape/x"}]`):                                                  "/run/x is a part of the release",
		storage(`"files":[{"path":"/etc/loop/x"}]`):                                                    "too many levels of symbolic links",
		storage(`"files":[{"path":"/etc/hosts/x"}]`):                                                   "/etc/hosts is a file",
		storage(`"directories":[{"path":"/etc"}]`):                                                     "/etc is a part of the release",
		storage(`"files":[{"path":"/new"}]`):                                                           "/new is a part of the release",
		storage(`"files":[{"path":"/var/lib/proa/configured.json"}]`):                                  "/var/lib/proa/configured.json is proa's own",
		storage(`"directories":[{"path":"/var/lib/proa","mode":511}]`):                                 "/var/lib/proa is proa's own",
		storage(`"directories":[{"path":"/var/lib","overwrite":true}]`):                                "storage.directories[0]: /var/lib has /var/lib/proa below it, which is proa's own",
		storage(`"files":[{"path":"/var/lib","overwrite":true,"contents":{"source":"data:,x"}}]`):      "/var/lib has /var/lib/proa below it",
		storage(`"links":[{"path":"/var/lib","overwrite":true,"target":"x"}]`):                         "/var/lib has /var/lib/proa below it",
		storage(`"links":[{"path":"/var","overwrite":true,"target":"x"}]`):                             "/var is a part of the release",
		storage(`"files":[{"path":"/var/above/lib","overwrite":true,"contents":{"source":"data:,"}}]`): "/var/lib has /var/lib/proa below it",
		storage(`"files":[{"path":"/etc/hosts","contents":{"source":"data:,x"}}]`):                     "/etc/hosts: it is there already: want overwrite",
		storage(`"files":[{"path":"/etc/motd"}]`):                                                      "/etc/motd is a symlink: it is there already",
		storage(`"files":[{"path":"/etc/skel"}]`):                                                      "/etc/skel is a folder: it is there already",
		storage(`"directories":[{"path":"/etc/hosts"}]`):                                               "/etc/hosts is a file: it is there already",
		storage(`"links":[{"path":"/etc/motd","target":"other"}]`):                                     "/etc/motd is a symlink \"/run/motd\": it is there already",
		storage(`"links":[{"path":"/etc/h","target":"/usr/bin/tool","hard":true}]`):                    "a hard link leads to a file in the same one of /etc and /var",
		storage(`"links":[{"path":"/var/h","target":"/etc/hosts","hard":true}]`):                       "in the same one of /etc and /var",
		storage(`"links":[{"path":"/etc/h","target":"/etc/none","hard":true}]`):                        "target /etc/none: ",
		storage(`"files":[{"path":"/etc/a","user":{"name":"nobodyhere"}}]`):                            "there is no user nobodyhere",
		storage(`"files":[{"path":"/etc/a","group":{"name":"none"}}]`):                                 "there is no group none",
		user(`"groups":["docker"]`):                                                                    "passwd.users[0]: there is no group docker: give it to groups",
		user(`"primaryGroup":"4711"`):                                                                  "there is no group 4711",
		user(`"uid":1`):                                                                                "the id 1 is that of user daemon",
		user(`"shell":"/bin/zsh"`):                                                                     "the image has no shell /bin/zsh",
		user(`"homeDir":"/opt/u"`):                                                                     "home: /opt/u is a part of the release",
		ign(`,"passwd":{"users":[{"name":"old","uid":7}]}`):                                            "user old has the id 1005 already",
		ign(`,"passwd":{"users":[{"name":"old","homeDir":"/var/x"}]}`):                                 "user old has the home /home/old already",
		ign(`,"passwd":{"users":[{"name":"audio"}]}`):                                                  "there is a group audio already: name the primary group",
		ign(`,"passwd":{"users":[{"name":"root","shouldExist":false}]}`):                               "root cannot be removed",
		ign(`,"passwd":{"users":[{"name":"root","sshAuthorizedKeys":["` + key + `"]}]}`):               "user root has no home /root",
		ign(`,"passwd":{"users":[{"name":"evil","sshAuthorizedKeys":["` + key + `"]}]}`):               "/var/home/evil/.ssh is a symlink: want a folder",
		ign(`,"passwd":{"groups":[{"name":"old","shouldExist":false}]}`):                               "group old is the primary group of user old",
		ign(`,"passwd":{"groups":[{"name":"sudo","gid":99}]}`):                                         "group sudo has the id 27 already",
		ign(`,"systemd":{"units":[{"name":"none.service","enabled":true}]}`):                           "enabling none.service: the image has no such unit, and the configuration neither",
		ign(`,"systemd":{"units":[{"name":"bare.service","enabled":true}]}`):                           "enabling bare.service: its file has no [Install] section",
		ign(`,"systemd":{"units":[{"name":"masked.service","enabled":true}]}`):                         "enabling masked.service: it is masked",
		ign(`,"systemd":{"units":[{"name":"aliased.service","enabled":true}]}`):                        "/etc/systemd/system/busy.service leads to /usr/lib/systemd/system/other.service already",
		ign(`,"systemd":{"units":[{"name":"x.service","contents":"[Service]\n","mask":true}]}`):        "masking x.service: /etc/systemd/system/x.service is a file",
		ign(`,"storage":{"files":[{"path":"/etc/systemd/system/x.service"}]},"systemd":{"units":[{"name":"x.service","contents":"[Service]\n"}]}`): "/etc/systemd/system/x.service is given as a file and as unit",
		storage(`"links":[{"path":"/etc/hosts","target":"/etc/hosts","hard":true},
			{"path":"/etc/h2","target":"/etc/hosts","hard":true}]`): "storage.links[0]: /etc/hosts: a hard link to itself",
		storage(`"links":[{"path":"/etc/twin1","target":"/etc/twin2","hard":true},
			{"path":"/etc/twin2","target":"/etc/twin1","hard":true}]`): "storage.links[1]: /etc/twin2: a hard link to itself",
		"#cloud-config\ntimezone: Mars/Base\n":                               "timezone: the image has no time zone Mars/Base",
		"#cloud-config\nhostname: a\nwrite_files: [{path: /etc/hostname}]\n": "/etc/hostname is given as a file and as the host's name",
		"#cloud-config\ngroups: [{g: [who]}]\n":                              "there is no user who: give it to users",
		"#cloud-config\nwrite_files: [{path: /var/lib}]\n":                   "write_files[0]: /var/lib is a folder: want the path of a file",
		"#cloud-config\nwrite_files: [{path: /etc/default}]\n":               "write_files[0]: /etc/default is a folder: want the path of a file",
	} {
		dir := newRoot(t, more)
		must(t, os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644))
		must(t, os.Link(filepath.Join(dir, "usr/lib/x"), filepath.Join(dir, "etc/twin1")))
		must(t, os.Link(filepath.Join(dir, "usr/lib/x"), filepath.Join(dir, "etc/twin2")))
		before := listing(t, dir)
		err := configure(t, dir, config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", config, err, want)
		}
		if !maps.Equal(before, listing(t, dir)) {
			t.Errorf("%s: something was written", config)
		}
	}
}

func TestContentsAreBoundedAltogether(t *testing.T) {
	t.Parallel()
	pack := func(n int) string {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(make([]byte, n))
		must(t, errors.Join(err, w.Close()))
		return base64.StdEncoding.EncodeToString(packed.Bytes())
	}
	third := pack(plan.MostContents/3 + 1)
	one := func(data string) string {
		return `{"path":"/etc/` + fmt.Sprint(len(data)) + `","contents":{"compression":"gzip","source":"data:;base64,` + data + `"}}`
	}
	for name, config := range map[string]string{
		"a bomb": storage(`"files":[` + one(pack(64<<20)) + `]`),
		"three":  strings.Replace(storage(`"files":[`+one(third)+`,`+one(third)+`,`+one(third)+`]`), `"/etc/`, `"/etc/x`, 1),
		"cloud":  "#cloud-config\nwrite_files: [{path: /etc/a, encoding: gz+b64, content: " + pack(64<<20) + "}]\n",
	} {
		_, err := Parse("c", []byte(config))
		if err == nil || !strings.Contains(err.Error(), "the contents of all files are over 8388608 bytes") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
