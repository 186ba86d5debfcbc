package rpm

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm/richdeps"
)

// How a relation is needed (rpmsense): those that only matter while packages
// are being installed are not in the index.
const (
	installOnly = 1<<5 | 1<<7 | 1<<9 | 1<<10 | 1<<24 | 1<<26 // posttrans, pretrans, pre, post, rpmlib, keyring
	eraseToo    = 1<<11 | 1<<12                              // preun, postun
)

// index is one of the tables by which rpm finds packages.
type index struct {
	name     string
	tag      tag
	blob     bool // the keys are bytes, and the table has no index of its own
	byNumber bool // there is an index by package, too
}

// indexes are in the order in which rpm makes them (lib/rpmdb.c).
var indexes = []index{
	{"Name", tagName, false, false},
	{"Basenames", tagBaseNames, false, true},
	{"Group", tagGroup, false, false},
	{"Requirename", tagRequireName, false, true},
	{"Providename", tagProvideName, false, true},
	{"Conflictname", tagConflictName, false, true},
	{"Obsoletename", tagObsoleteName, false, true},
	{"Triggername", tagTriggerName, false, true},
	{"Dirnames", tagDirNames, false, true},
	{"Installtid", tagInstallTID, true, false},
	{"Sigmd5", tagSigMD5, true, false},
	{"Sha1header", tagSHA1Header, false, false},
	{"Filetriggername", tagFileTriggerName, false, true},
	{"Transfiletriggername", tagTransTriggerName, false, true},
	{"Recommendname", tagRecommendName, false, true},
	{"Suggestname", tagSuggestName, false, true},
	{"Supplementname", tagSupplementName, false, true},
	{"Enhancename", tagEnhanceName, false, true},
}

// schema are the statements that make the database as rpm does
// (lib/backend/sqlite.c).
func schema() []string {
	statements := []string{`CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)`}
	for _, i := range indexes {
		kind := "TEXT"
		if i.blob {
			kind = "BLOB"
		}
		statements = append(statements, fmt.Sprintf(`CREATE TABLE '%s' (key '%s' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, `+
			`FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))`, i.name, kind))
		if !i.blob {
			statements = append(statements, fmt.Sprintf(`CREATE INDEX '%s_key_idx' ON '%s'(key ASC)`, i.name, i.name))
		}
		if i.byNumber {
			statements = append(statements, fmt.Sprintf(`CREATE INDEX '%s_hnum_idx' ON '%s'(hnum ASC)`, i.name, i.name))
		}
	}
	return statements
}

// indexKey is one row of an index: the key and which of its tag's values it is.
type indexKey struct {
	key any
	at  int
}

// keys are what a package is found by.
func (i index) keys(h *header) ([]indexKey, error) {
	if i.blob {
		return i.blobKeys(h)
	}
	values, err := h.strings(i.tag)
	if err != nil {
		return nil, err
	}
	if i.tag == tagGroup {
		values = append(values, "Unknown")[:1] // without its translations
	}
	at, err := i.positions(h, values)
	if err != nil {
		return nil, err
	}
	var keys []indexKey
	for n, v := range values {
		if at[n] < 0 {
			continue
		}
		keys = append(keys, indexKey{v, at[n]})
		if i.rich() && strings.HasPrefix(v, "(") {
			for _, name := range richKeys(v) {
				keys = append(keys, indexKey{name, at[n]})
			}
		}
	}
	return keys, nil
}

// positions say which of its tag's values each is; a negative one stays out.
func (i index) positions(h *header, values []string) ([]int, error) {
	at := make([]int, len(values))
	for n := range at {
		at[n] = n
	}
	switch i.tag {
	case tagRequireName:
		flags, err := h.numbers(tagRequireFlags)
		if err != nil {
			return nil, err
		}
		for n := range min(len(at), len(flags)) {
			if flags[n]&installOnly != 0 && flags[n]&eraseToo == 0 {
				at[n] = -1
			}
		}
	case tagTriggerName:
		seen := map[string]bool{}
		for n, v := range values {
			if seen[v] {
				at[n] = -1
			}
			seen[v] = true
		}
	case tagFileTriggerName, tagTransTriggerName:
		numbers, err := h.numbers(i.tag + 1) // the index of the trigger's script
		if err != nil {
			return nil, err
		}
		if len(numbers) != len(values) {
			return nil, fmt.Errorf("tag %d has %d values, tag %d has %d: want as many", i.tag, len(values), i.tag+1, len(numbers))
		}
		for n, number := range numbers {
			at[n] = int(number)
		}
	}
	return at, nil
}

// rich reports whether the names can be rich dependencies.
func (i index) rich() bool {
	switch i.tag {
	case tagRequireName, tagConflictName, tagRecommendName, tagSuggestName, tagSupplementName, tagEnhanceName:
		return true
	}
	return false
}

// richKeys are the names in a rich dependency as rpm puts them beside the whole
// text: sorted, and behind them those in a condition, with an exclamation mark.
func richKeys(text string) []string {
	requirement, err := richdeps.Parse(text)
	if err != nil {
		return nil // rpm, too, finds the package by the whole text only
	}
	found := map[bool]map[string]bool{false: {}, true: {}}
	var add func(r packages.Requirement, condition bool)
	add = func(r packages.Requirement, condition bool) {
		if r.Joined == packages.Plain {
			found[condition][r.Relation.Name] = true
			return
		}
		for n, arg := range r.Args {
			conditional := r.Joined == packages.If || r.Joined == packages.Unless
			add(arg, condition != (conditional && n == 1))
			if conditional && n == 1 && len(r.Args) > 2 {
				add(arg, condition) // for what stands behind else
			}
		}
	}
	add(requirement, false)
	keys := slices.Sorted(maps.Keys(found[false]))
	for _, name := range slices.Sorted(maps.Keys(found[true])) {
		keys = append(keys, "!"+name)
	}
	return keys
}

func (i index) blobKeys(h *header) ([]indexKey, error) {
	v, ok := h.values[i.tag]
	if !ok {
		return nil, nil
	}
	if v.kind == kindInt32 {
		// In the byte order of the machines that proa builds for.
		return []indexKey{{binary.LittleEndian.AppendUint32(nil, binary.BigEndian.Uint32(v.data)), 0}}, nil
	}
	return []indexKey{{v.data, 0}}, nil
}
