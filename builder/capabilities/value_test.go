package capabilities

import (
	"encoding/hex"
	"testing"
)

// TestCapabilitiesAreThoseOfSetcap has what setcap (libcap 2.66) wrote for the
// same words.
func TestCapabilitiesAreThoseOfSetcap(t *testing.T) {
	for text, want := range map[string]string{
		"cap_net_raw=ep":               "0100000200200000000000000000000000000000",
		"CAP_NET_RAW=pe":               "0100000200200000000000000000000000000000",
		"cap_net_raw,cap_net_admin=ep": "0100000200300000000000000000000000000000",
		"= cap_net_raw+ep":             "0100000200200000000000000000000000000000",
		"cap_chown=p cap_kill=ip":      "0000000221000000200000000000000000000000",
		"all=ep":                       "01000002ffffffff00000000ff01000000000000",
		"=ep":                          "01000002ffffffff00000000ff01000000000000",
		"cap_checkpoint_restore,cap_sys_admin=eip":    "0100000200002000000020000001000000010000",
		"cap_net_raw=ei-e+p":                          "0000000200200000002000000000000000000000",
		"cap_setuid+eip-i":                            "0100000280000000000000000000000000000000",
		"cap_setuid+eip-i cap_kill=ep cap_setuid-epi": "0100000220000000000000000000000000000000",
		"":  "",
		"=": "",
	} {
		got, err := Value(text)
		if err != nil || hex.EncodeToString([]byte(got)) != want {
			t.Errorf("%q: %x, %v: want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"cap_net_raw", "cap_chown=ep cap_kill+i", "cap_chown=x", "+ep", "cap_chown,=ep", ",=p", "cap_chown=ep [rootid=5]", "=cap_chown", "cap_chown = ep",
	} {
		if got, err := Value(text); err == nil {
			t.Errorf("%q: %x: want an error", text, got)
		}
	}
}

func FuzzCapabilities(f *testing.F) {
	for _, seed := range []string{"cap_net_raw,cap_net_admin=ep cap_kill+i-p", "=", "all=eip"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := Value(text); err == nil && len(got) != 0 && len(got) != 20 {
			t.Errorf("%q: %x", text, got)
		}
	})
}
