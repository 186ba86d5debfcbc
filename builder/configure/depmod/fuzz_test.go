package depmod

import (
	"os"
	"testing"
)

// FuzzModule begins with files of both classes and orders.
func FuzzModule(f *testing.F) {
	for _, name := range []string{"module64.ko", "module32be.ko"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseObject(data)
		if err != nil {
			return
		}
		m := &module{name: "m"}
		if o.read(m) != nil {
			return
		}
		x := &index{modules: []*module{m}, symbols: exported([]*module{m})}
		if x.resolve() != nil {
			return
		}
		for _, make := range []func(*index) ([]byte, error){
			(*index).depends, (*index).dependsTrie, (*index).aliases, (*index).aliasTrie, (*index).soft,
			(*index).symbolAliases, (*index).symbolTrie, (*index).deviceNames,
		} {
			make(x)
		}
	})
}
