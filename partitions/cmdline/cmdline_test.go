package cmdline

import (
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions/verity"
)

func sample() Boot {
	root := verity.Root{Salt: []byte(strings.Repeat("s", 32)), Blocks: 4711}
	root.Hash[0], root.Hash[31] = 0xab, 0xcd
	return Boot{Root: root, RootWait: DefaultRootWait}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, change := range []func(*Boot){
		func(*Boot) {},
		func(b *Boot) { b.EtcLost = true },
		func(b *Boot) { b.VarTPM2 = true },
		func(b *Boot) { b.RootWait = 5 * time.Second },
		func(b *Boot) { b.Watchdog = time.Minute },
		func(b *Boot) { b.Live = true },
	} {
		want := sample()
		change(&want)
		got, err := Parse("quiet " + want.String() + " console=ttyS0 root")
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || got.VarTPM2 != want.VarTPM2 || got.RootWait != want.RootWait {
			t.Errorf("wrote %q, read %q", want, got)
		}
	}
}

func TestTheInstallersWordsAreLeftToIt(t *testing.T) {
	got, err := Parse(sample().String() + " proa.live proa.install=auto proa.install.wipe=1234 proa.install.config=http://a/b")
	if err != nil || !got.Live {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAWrongCommandLineIsRefusedByName(t *testing.T) {
	line := sample().String()
	for _, test := range []struct{ line, want string }{
		{"quiet", "proa.roothash is missing"},
		{strings.Replace(line, "proa.salt", "salt", 1), "proa.salt is missing"},
		{line + " proa.blocks=1", "proa.blocks is given twice"},
		{line + " proa.verity=off", `"proa.verity": proa has no such parameter`},
		{strings.Replace(line, "overlay", "ram", 1), `proa.etc="ram": want overlay or transient`},
		{line + " proa.var=none", `proa.var="none": want tpm2`},
		{line + " proa.var", `proa.var="": want tpm2`},
		{line + " proa.live=no", `proa.live="no": want it without a value`},
		{line + " proa.installer=auto", `"proa.installer": proa has no such parameter`},
		{line + " proa.watchdog=-1", `proa.watchdog="-1": want 0 to 3600 seconds`},
		{line + " proa.rootwait=9999", `proa.rootwait="9999": want 0 to 3600 seconds`},
		{strings.Replace(line, "blocks=4711", "blocks=0", 1), "blocks"},
		{strings.Replace(line, "roothash=ab", "roothash=", 1), "roothash"},
	} {
		if _, err := Parse(test.line); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60s…: got error %v, want one with %q", test.line, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample().String())
	f.Add("proa.roothash= proa.salt proa.blocks=18446744073709551616")
	f.Fuzz(func(t *testing.T, line string) {
		boot, err := Parse(line)
		if err != nil {
			return
		}
		if again, err := Parse(boot.String()); err != nil || again.String() != boot.String() {
			t.Errorf("%q was read as %q, which is read as %q, %v", line, boot, again, err)
		}
	})
}
