package builder

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/ukifile"
)

func TestTheKernelImageCarriesTheKeyOfItsMeasurementsAndItsGeneration(t *testing.T) {
	c := config(t, "secureBoot: {pcrKey: pcr.pub}\nsecurityEpoch: 3\n")
	key := filepath.Join(t.TempDir(), "pcr.key")
	run(t, "openssl", "genrsa", "-out", key, "2048")
	public, err := exec.Command("openssl", "rsa", "-in", key, "-pubout").Output()
	if err != nil {
		t.Fatal(err)
	}
	c.Recipe.SecureBoot.PCRKey = filepath.Join(t.TempDir(), "pcr.pub")
	if err := os.WriteFile(c.Recipe.SecureBoot.PCRKey, public, 0o600); err != nil {
		t.Fatal(err)
	}
	mustBuild(t, c)
	image, err := os.ReadFile(filepath.Join(c.Output, manifests.UKIFile))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ukifile.ReadSection(bytes.NewReader(image), int64(len(image)), ukifile.SectionPCRKey, 1<<12)
	if err != nil || !bytes.Equal(got, public) {
		t.Errorf("section .pcrpkey is %q, %v", got, err)
	}
	sbat, err := ukifile.ReadSection(bytes.NewReader(image), int64(len(image)), ".sbat", 1<<12)
	if err != nil || !strings.HasSuffix(string(sbat), "\nproa.test,4,test,kernel-image,1.0.0,https://github.com/proa-os/proa\n") {
		t.Errorf("section .sbat is %q, %v", sbat, err)
	}
	c.Output = filepath.Join(t.TempDir(), "again")
	if err := os.WriteFile(c.Recipe.SecureBoot.PCRKey, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), c); err == nil || !strings.Contains(err.Error(), "secureBoot.pcrKey: public key for PCR policies: want one PEM block") {
		t.Errorf("text that is no key: %v", err)
	}
}
