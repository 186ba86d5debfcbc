package e2e

import (
	"encoding/hex"
	"strings"
	"sync"
)

// identity is what tells a machine from others.
type identity struct {
	machineID string
	hostKeys  string // fingerprints, a line each
}

// everybody are the identities of all machines of the tests, and whose they are.
var everybody sync.Map

// wantIdentity reads the machine's identity and checks that it is a real one,
// kept on var, and nobody else's.
func (h *host) wantIdentity() identity {
	h.t.Helper()
	i := identity{
		machineID: strings.TrimSpace(h.run("cat /etc/machine-id")),
		hostKeys:  h.run("for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done"),
	}
	if raw, err := hex.DecodeString(i.machineID); err != nil || len(raw) != 16 {
		h.t.Errorf("machine-id %q", i.machineID)
	}
	h.want("systemd-id128 machine-id", i.machineID)
	h.want("cat /var/lib/dbus/machine-id", i.machineID)
	h.want("cat /var/lib/proa/etc/upper/machine-id", i.machineID)
	h.want("ls /var/lib/proa/etc/upper/ssh | grep -c _key$", "3")
	kinds := strings.Fields(i.hostKeys)
	if len(kinds) != 4*3 || !strings.Contains(i.hostKeys, "ED25519") {
		h.t.Errorf("host keys:\n%s", i.hostKeys)
	}
	for _, own := range append([]string{i.machineID}, strings.Split(strings.TrimSpace(i.hostKeys), "\n")...) {
		if whose, there := everybody.LoadOrStore(own, h); there && whose != h {
			h.t.Errorf("%s is also that of %s", own, whose.(*host).name)
		}
	}
	return i
}

// wantSameIdentity checks that the machine is still known to others.
func (h *host) wantSameIdentity(before identity) {
	h.t.Helper()
	if now := h.wantIdentity(); now != before {
		h.t.Errorf("boot %d: identity %+v, and it was %+v", h.boot.Number, now, before)
	}
}
