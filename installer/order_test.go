package installer

import (
	"strings"
	"testing"
)

func TestOrdersAreReadFromTheCommandLine(t *testing.T) {
	for line, want := range map[string]Order{
		"quiet proa.install=auto proa.live":                                            {Disk: "auto"},
		"proa.install=/dev/disk/by-id/x proa.install.wipe=SN%2012":                     {Disk: "/dev/disk/by-id/x", Wipe: "SN 12"},
		"proa.install=serial:A%20B proa.install.config=http://a/%20":                   {Disk: "serial:A B", Settings: "http://a/%20"},
		"proa.install=auto proa.install.config=http://a proa.install.config.sha256=00": {Disk: "auto", Settings: "http://a", Digest: "00"},
	} {
		if got, err := ParseOrder(line); err != nil || got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for line, says := range map[string]string{
		"proa.install=auto proa.install.sha256=00": `"proa.install.sha256"`,
		"quiet proa.roothash=00":                   "proa.install is missing",
		"proa.install":                             "proa.install is empty",
		"proa.install=auto proa.install=x":         "given twice",
		"proa.install=auto proa.install.x=1":       `"proa.install.x"`,
		"proa.install=%zz":                         "invalid URL escape",
		"proa.install=auto proa.install.wipe=%":    "proa.install.wipe: invalid",
	} {
		if got, err := ParseOrder(line); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
}

func TestOnlyOneDiskIsChosen(t *testing.T) {
	free := Disk{Path: "/dev/vda", Name: "vda", Free: true}
	data := Disk{Path: "/dev/vdb", Name: "S2", Serial: "S2", Holds: "an ext file system"}
	live := Disk{Path: "/dev/vdc", Name: "vdc", Holds: "2 partitions", InUse: "vdc1 is part of proa-root"}
	stick := Disk{Path: "/dev/sda", Name: "S4", Serial: "S4", Free: true, Removable: true}
	for _, c := range []struct {
		order Order
		disks []Disk
		path  string // or
		says  string // the error
	}{
		{Order{Disk: "auto"}, []Disk{data, free, live, stick}, "/dev/vda", ""},
		{Order{Disk: "auto"}, []Disk{free, free}, "", "leaves a choice: /dev/vda, /dev/vda"},
		{Order{Disk: "auto"}, []Disk{data, live, stick}, "", "/dev/vdb (S2) holds an ext file system; /dev/vdc (vdc) vdc1 is part of proa-root; /dev/sda (S4) is removable"},
		{Order{Disk: "auto"}, nil, "", "has no disk"},
		{Order{Disk: "auto", Wipe: "S2"}, []Disk{data, free}, "/dev/vdb", ""},
		{Order{Disk: "auto", Wipe: "S3"}, []Disk{data, free}, "", "fits no disk"},
		{Order{Disk: "auto", Wipe: "vdc"}, []Disk{live}, "", "fits no disk"},
		{Order{Disk: "serial:S4"}, []Disk{data, stick}, "/dev/sda", ""},
		{Order{Disk: "serial:"}, []Disk{free}, "", "fits no disk"},
		{Order{Disk: "/dev/vdb"}, nil, "/dev/vdb", ""},
	} {
		got, err := c.order.Choose(c.disks)
		if got != c.path || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %q, %v: want %q, or an error with %q", c.order, got, err, c.path, c.says)
		}
	}
}

func FuzzParseOrder(f *testing.F) {
	f.Add("proa.install=auto proa.install.wipe=a%20b proa.install.config=http://x/y")
	f.Fuzz(func(t *testing.T, line string) {
		if o, err := ParseOrder(line); err == nil && o.Disk == "" {
			t.Errorf("%q gives no disk", line)
		}
	})
}
