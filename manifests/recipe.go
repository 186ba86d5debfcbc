package manifests

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/manifests/strictyaml"
)

// mostSlot is the largest root partition that makes sense, in bytes.
const mostSlot = 1 << 40

// SeedMost is the most bytes of what a product's GUIDs are derived from.
const SeedMost = 256

// RecipeFile is the name under which a recipe is looked for in a folder.
const RecipeFile = "recipe.yaml"

// DefaultEpoch is the timestamp of a build for which nobody chose one, in
// seconds since 1970: 1 January 1980, the first that every format can store
// (FAT starts there).
const DefaultEpoch = 315532800

// Recipe says what an operating system is made of: the content of recipe.yaml.
type Recipe struct {
	Product       string        `yaml:"product" json:"product" jsonschema:"required,description=Name of the operating system; hosts accept releases of their own product only"`
	Version       Version       `yaml:"version" json:"version,omitempty" jsonschema:"description=Version to build when the command line names none"`
	Arch          []Arch        `yaml:"arch" json:"arch,omitempty" jsonschema:"description=Architectures it can be built for; the first is built unless told otherwise (default amd64)"`
	Seed          string        `yaml:"seed" json:"seed,omitempty" jsonschema:"description=Text that every GUID and the verity salt are derived from (default: the product)"`
	Epoch         *int64        `yaml:"epoch" json:"epoch,omitempty" jsonschema:"description=The one timestamp of the build in seconds since 1970; SOURCE_DATE_EPOCH overrides it"`
	SecurityEpoch uint64        `yaml:"securityEpoch" json:"securityEpoch,omitempty" jsonschema:"description=Raise it to forbid hosts to go back to releases with a lower one"`
	Sources       []Source      `yaml:"sources" json:"sources" jsonschema:"required,description=Where the files come from; later ones win by path"`
	Platform      Platform      `yaml:"platform" json:"platform,omitempty" jsonschema:"enum=uefi-generic,enum=qemu,description=Which drivers the initrd carries (default uefi-generic)"`
	Kernel        Kernel        `yaml:"kernel" json:"kernel,omitzero" jsonschema:"description=Additions to the kernel's command line and to the initrd"`
	Slots         Slots         `yaml:"slots" json:"slots,omitzero" jsonschema:"description=Sizes of the partitions of each slot"`
	ESP           Size          `yaml:"esp" json:"esp,omitempty" jsonschema:"description=Size of the EFI system partition (default 256MiB)"`
	Var           Size          `yaml:"var" json:"var,omitempty" jsonschema:"description=Size of the partition for /var (default 1GiB)"`
	Etc           Etc           `yaml:"etc" json:"etc,omitempty" jsonschema:"enum=overlay,enum=transient,description=Whether changes in /etc are kept on /var or lost at reboot (default overlay)"`
	VarEncryption VarEncryption `yaml:"varEncryption" json:"varEncryption,omitempty" jsonschema:"enum=none,enum=tpm2,description=Whether /var is encrypted with a key that the machine's TPM seals (default none)"`
	SecureBoot    SecureBoot    `yaml:"secureBoot" json:"secureBoot,omitzero" jsonschema:"description=What kernel images carry for machines that boot signed images alone"`
	Migrations    []Migration   `yaml:"migrations" json:"migrations,omitempty" jsonschema:"description=Programs that bring /var from one format to the next once a release leads"`
	Extensions    []string      `yaml:"extensions" json:"extensions,omitempty" jsonschema:"description=Folders of extensions that proa build --kind made; hosts get them with the release and attach them; needs update"`
	Fits          *Fits         `yaml:"fits" json:"fits,omitempty" jsonschema:"description=In the recipe of an extension: the images that it may be attached to"`
	Update        *Update       `yaml:"update" json:"update,omitempty" jsonschema:"description=Where hosts get updates; without it the image carries no proa-agent"`
	Health        []HealthCheck `yaml:"health" json:"health,omitempty" jsonschema:"description=What must be true of a release on trial before it leads; needs update"`
}

// Entry sets the owner and mode of files of an overlay folder.
type Entry struct {
	Path  string `yaml:"path" json:"path" jsonschema:"required,description=A glob relative to the folder; ** matches any number of folders"`
	Owner string `yaml:"owner" json:"owner,omitempty" jsonschema:"description=User name or number (default root)"`
	Group string `yaml:"group" json:"group,omitempty" jsonschema:"description=Group name or number (default root)"`
	Mode  *Mode  `yaml:"mode" json:"mode,omitempty" jsonschema:"description=Permissions in octal such as 0640"`
}

// Kernel adds to what the platform gives.
type Kernel struct {
	CommandLine []string `yaml:"commandLine" json:"commandLine,omitempty" jsonschema:"description=Kernel parameters such as console=ttyS0"`
	Modules     []string `yaml:"modules" json:"modules,omitempty" jsonschema:"description=Modules for the initrd beyond those of the platform"`
}

// SecureBoot is what is built into the kernel image for the time after it is signed.
type SecureBoot struct {
	PCRKey string `yaml:"pcrKey" json:"pcrKey,omitempty" jsonschema:"description=Public key (PEM) that signs what a TPM measures of the product's kernel images: a path relative to the recipe"`
}

// Slots are the sizes of each slot's partitions.
type Slots struct {
	Root   Size `yaml:"root" json:"root,omitempty" jsonschema:"description=Size of each root partition (default: twice what this release needs)"`
	Verity Size `yaml:"verity" json:"verity,omitempty" jsonschema:"description=Size of each hash tree's partition (default: what the root partition can need)"`
}

// Update says where the hosts of a product get releases and whom they trust.
type Update struct {
	Repository string `yaml:"repository" json:"repository" jsonschema:"required,description=URL of the repository"`
	Channel    string `yaml:"channel" json:"channel,omitempty" jsonschema:"description=Channel that hosts follow (default stable)"`
	Root       string `yaml:"root" json:"root" jsonschema:"required,description=The repository's trusted root.json: a path relative to the recipe"`
}

// Platform is a kind of machine, which says what drivers the initrd carries.
type Platform string

// The platforms.
const (
	PlatformUEFI Platform = "uefi-generic" // what a PC, a server or a cloud boots from
	PlatformQEMU Platform = "qemu"         // virtio only
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Platform) UnmarshalText(text []byte) error {
	switch v := Platform(text); v {
	case PlatformUEFI, PlatformQEMU:
		*p = v
		return nil
	}
	return fmt.Errorf("%q: want %s or %s", clip(string(text)), PlatformUEFI, PlatformQEMU)
}

// Etc is what becomes of changes in /etc.
type Etc string

// What a recipe can ask for.
const (
	EtcOverlay   Etc = "overlay"   // kept on /var
	EtcTransient Etc = "transient" // lost at reboot
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Etc) UnmarshalText(text []byte) error {
	switch v := Etc(text); v {
	case EtcOverlay, EtcTransient:
		*e = v
		return nil
	}
	return fmt.Errorf("%q: want overlay or transient", clip(string(text)))
}

// Mode is the permissions of a file, at most 07777, written in octal.
type Mode uint32

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	var mode uint32
	if n, err := fmt.Sscanf(string(text)+"\n", "%o\n", &mode); n != 1 || err != nil || mode > 0o7777 || text[0] != '0' {
		return fmt.Errorf("mode %q: want octal digits from 0000 to 07777", clip(string(text)))
	}
	*m = Mode(mode)
	return nil
}

// ParseRecipe reads a recipe, whose file name is used in faults, checks it and
// fills in the defaults that do not depend on what is built. The error is a
// *strictyaml.Faults with everything that is wrong.
func ParseRecipe(name string, data []byte) (Recipe, error) {
	r, doc := decodeRecipe(name, data)
	return r, doc.Err()
}

func decodeRecipe(name string, data []byte) (Recipe, *strictyaml.Document) {
	r := Recipe{
		Platform: PlatformUEFI,
		Etc:      EtcOverlay,
		ESP:      256 << 20,
		Var:      1 << 30,

		VarEncryption: VarPlain,
	}
	doc := strictyaml.Decode(name, data, &r)
	r.check(doc.Fault)
	if doc.Err() != nil {
		return Recipe{}, doc
	}
	if len(r.Arch) == 0 {
		r.Arch = []Arch{AMD64}
	}
	if r.Seed == "" {
		r.Seed = r.Product
	}
	if r.Update != nil && r.Update.Channel == "" {
		r.Update.Channel = "stable"
	}
	return r, doc
}

// check reports every fault that one value alone does not show.
func (r *Recipe) check(fault func(path, format string, args ...any)) {
	if r.Product == "" {
		fault("product", "product is missing: name the operating system")
	} else if err := CheckName("product", r.Product); err != nil {
		fault("product", "%v", err)
	}
	for i, arch := range r.Arch {
		if slices.Contains(r.Arch[:i], arch) {
			fault(fmt.Sprintf("arch[%d]", i), "arch[%d]: %s is there twice", i, arch)
		}
	}
	const leastESP, leastVar = 64 << 20, 8 << 20 // what FAT32 and ext4 need
	const luksHeader = 16 << 20                  // what comes before the file system
	if r.ESP < leastESP {
		fault("esp", "esp of %s: want at least %s", r.ESP, Size(leastESP))
	}
	if r.Var < leastVar {
		fault("var", "var of %s: want at least %s", r.Var, Size(leastVar))
	}
	if r.VarEncryption == VarTPM2 && r.SecureBoot.PCRKey == "" {
		fault("varEncryption", "varEncryption: needs secureBoot.pcrKey, the key whose kernel images open /var")
	}
	if r.VarEncryption == VarTPM2 && r.Var < leastVar+luksHeader {
		fault("var", "var of %s: want at least %s, of which encryption takes %s", r.Var, Size(leastVar+luksHeader), Size(luksHeader))
	}
	if r.Slots.Root > mostSlot {
		fault("slots.root", "slots.root of %s: want at most %s", r.Slots.Root, Size(mostSlot))
	}
	if len(r.Seed) > SeedMost {
		fault("seed", "seed of %d bytes: want at most %d", len(r.Seed), SeedMost)
	}
	if r.Epoch != nil {
		if err := CheckEpoch(*r.Epoch); err != nil {
			fault("epoch", "%v", err)
		}
	}
	if len(r.Sources) == 0 {
		fault("sources", "sources: want at least one")
	}
	stdin := 0
	for i, s := range r.Sources {
		s.check(fault, fmt.Sprintf("sources[%d]", i))
		if s.Tar == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		fault("sources", "sources: standard input can be read once, and is named %d times", stdin)
	}
	for i, word := range r.Kernel.CommandLine {
		r.checkParameter(fault, fmt.Sprintf("kernel.commandLine[%d]", i), word)
	}
	if i, err := checkMigrations(r.Migrations); err != nil {
		at := fmt.Sprintf("migrations[%d]", i)
		fault(at, "%s: %v", at, err)
	}
	if r.Update != nil {
		r.Update.check(fault)
	} else if len(r.Health) > 0 {
		fault("health", "health: needs update: without it no agent is in the image to check anything")
	}
	CheckHealth(r.Health, "health", fault)
	r.checkExtensions(fault)
}

// parameter is the value that the recipe gives a kernel parameter.
func (r *Recipe) parameter(name string) string {
	for _, word := range r.Kernel.CommandLine {
		if key, value, _ := strings.Cut(word, "="); key == name {
			return value
		}
	}
	return ""
}

// checkParameter keeps a recipe from overriding what the signed command line
// must say.
func (r *Recipe) checkParameter(fault func(path, format string, args ...any), at, word string) {
	key, value, _ := strings.Cut(word, "=")
	switch {
	case word == "" || strings.ContainsAny(word, " \t\n\x00"):
		fault(at, "%s: %q: want one kernel parameter", at, clip(word))
	case key == "proa.watchdog" || key == "proa.rootwait":
		const most = 3600
		if n, err := strconv.ParseUint(value, 10, 16); err != nil || n > most {
			fault(at, "%s: %q: want 0 to %d seconds", at, clip(word), most)
		}
	case key == "proa.config":
		if _, err := ParseConfigURL(value, r.parameter("proa.config.sha256")); err != nil {
			fault(at, "%s: %v", at, err)
		}
	case key == "proa.config.sha256":
		if r.parameter("proa.config") == "" {
			fault(at, "%s: %q: it is the digest of what proa.config= names, which is missing", at, clip(word))
		}
	case strings.HasPrefix(key, "proa."):
		fault(at, "%s: %q: of those that start with proa. a recipe sets proa.watchdog, proa.rootwait and proa.config only", at, clip(word))
	case key == "panic" && (value == "" || value == "0"):
		fault(at, "%s: %q: a machine that panics must reset, or a trial would never end", at, clip(word))
	case key == "ro" || key == "rw" || key == "systemd.gpt_auto" || key == "systemd.verity":
		fault(at, "%s: %q: the build sets it", at, clip(word))
	case key == "root" || key == "roothash" || key == "init" || key == "rdinit":
		fault(at, "%s: %q: the root is found by its hash and nothing else", at, clip(word))
	}
}

func (u Update) check(fault func(path, format string, args ...any)) {
	location, err := url.Parse(u.Repository)
	if err != nil || (location.Scheme != "http" && location.Scheme != "https" && location.Scheme != "oci") || location.Host == "" {
		fault("update.repository", "update.repository %q: want an http or https URL, or oci://HOST/NAME:TAG", clip(u.Repository))
	} else if location.User != nil || location.RawQuery != "" || location.Fragment != "" {
		fault("update.repository", "update.repository: want a URL without user, query and fragment")
	}
	if u.Channel != "" {
		if err := CheckName("update.channel", u.Channel); err != nil {
			fault("update.channel", "%v", err)
		}
	}
	if u.Root == "" {
		fault("update.root", "update.root is missing: name the repository's trusted root.json")
	}
}

// CheckEpoch refuses a timestamp, in seconds since 1970, that some format of a
// release could not store.
func CheckEpoch(epoch int64) error {
	const newest = 1<<32 - 1 // EROFS and newc store 32 bits, FAT ends in 2107
	if epoch < DefaultEpoch || epoch > newest {
		return fmt.Errorf("epoch %d: want %d (1980) to %d (2106)", epoch, int64(DefaultEpoch), int64(newest))
	}
	return nil
}
