package plan

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// MostContents is the most that the files of a configuration may hold
// altogether, in bytes, as they are written.
const MostContents = 8 << 20

// MostID is the highest id of a user or group: the one above means none.
const MostID = 1<<32 - 2

// CheckPath is an error unless a path is absolute, in its shortest form, and
// made of names that a file may have.
func CheckPath(p string) error {
	const most = 4095
	switch {
	case p == "" || p[0] != '/':
		return fmt.Errorf("%q: want an absolute path", clip(p))
	case len(p) > most || strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("%q: want a path of at most %d bytes without control characters", clip(p), most)
	case path.Clean(p) != p:
		return fmt.Errorf("%q: want it as %q", clip(p), clip(path.Clean(p)))
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > 255 {
			return fmt.Errorf("%q: want names of at most 255 bytes", clip(p))
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

var accountName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?$`)

// CheckAccount is an error unless a user or a group may have the name: what
// useradd(8) and systemd both take.
func CheckAccount(name string) error {
	if !accountName.MatchString(name) {
		return fmt.Errorf("%q: want letters, digits, _, - and ., at most 31, beginning with a letter or _", clip(name))
	}
	return nil
}

// CheckField is an error unless a text fits into a line of passwd(5).
func CheckField(text string) error {
	if strings.ContainsRune(text, ':') || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%q: want a text without colon and control characters", clip(text))
	}
	return nil
}

// CheckHome is an error unless a text is the path of a home or a shell, which
// passwd(5) has in a line.
func CheckHome(text string) error {
	if err := CheckField(text); err != nil {
		return err
	}
	return CheckPath(text)
}

var (
	hashed   = regexp.MustCompile(`^!{0,2}\$[A-Za-z0-9,.=_-]{1,20}\$[!-9;-~]+$`)
	hashDES  = regexp.MustCompile(`^[./0-9A-Za-z]{13}$`)
	unusable = regexp.MustCompile(`^(\*|!{1,2}\*?)$`)
)

// CheckHash is an error unless a text is a hash of a password as crypt(5) makes
// it, or one that no password has: "*" or "!".
func CheckHash(text string) error {
	if !hashed.MatchString(text) && !hashDES.MatchString(text) && !unusable.MatchString(text) {
		return errors.New("want a hash as crypt(5) makes it, such as by mkpasswd, and never the password itself")
	}
	return nil
}

var hostLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// CheckHostname is an error unless a machine may be called so: hostname(5).
func CheckHostname(name string) error {
	bad := len(name) > 64
	for label := range strings.SplitSeq(name, ".") {
		bad = bad || !hostLabel.MatchString(label)
	}
	if bad {
		return fmt.Errorf("%q: want labels of letters, digits and hyphens with dots between, at most 64 in all", clip(name))
	}
	return nil
}

var zone = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,3}$`)

// CheckTimezone is an error unless a text can be the name of a time zone.
func CheckTimezone(name string) error {
	if !zone.MatchString(name) {
		return fmt.Errorf("%q: want the name of a time zone, such as Europe/Berlin", clip(name))
	}
	return nil
}

// CheckKey is an error unless a text is a line of authorized_keys, sshd(8), with
// a key in it: options may stand before it.
func CheckKey(line string) error {
	if strings.ContainsAny(line, "\n\r\x00") {
		return errors.New("want one line")
	}
	const mostLine = 16 << 10
	if len(line) > mostLine {
		return fmt.Errorf("want at most %d bytes", mostLine)
	}
	// The key names its own type, which stands before it.
	words := strings.Fields(line)
	for i := 1; i < len(words); i++ {
		raw, err := base64.StdEncoding.DecodeString(words[i])
		if err != nil || len(raw) < 4 {
			continue
		}
		n := int64(binary.BigEndian.Uint32(raw))
		if n <= int64(len(raw)-4) && string(raw[4:4+n]) == words[i-1] {
			return nil
		}
	}
	return fmt.Errorf("%q: want a public key as in a file id_*.pub", clip(line))
}

var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$`)

// CheckUnit is an error unless a unit may have the name: systemd.unit(5).
func CheckUnit(name string) error {
	if !unitName.MatchString(name) || len(name) > 255 {
		return fmt.Errorf("%q: want the name of a unit, such as hello.service", clip(name))
	}
	return nil
}

// CheckDropin is an error unless a drop-in of a unit may have the name.
func CheckDropin(name string) error {
	if !strings.HasSuffix(name, ".conf") || name == ".conf" || strings.ContainsAny(name, "/\x00\n") || len(name) > 255 {
		return fmt.Errorf("%q: want a name that ends in .conf", clip(name))
	}
	return nil
}
