// Package conformance is a fake Nomad agent: it starts the plugin with the real go-plugin and
// speaks the plugin protocol with messages of our own .proto files.
package conformance

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// M is a message: field name to value. Scalars are int, float64, bool, string (also for bytes);
// nested messages are M; repeated fields are []any.
type M map[string]any

var protoDir = filepath.Join("..", "..", "proto")

// messages compiles the .proto files once.
var messages = sync.OnceValue(func() map[string]protoreflect.MessageDescriptor {
	paths, err := filepath.Glob(filepath.Join(protoDir, "*.proto"))
	if err != nil || len(paths) == 0 {
		panic(fmt.Sprintf("no .proto files in %q: %v", protoDir, err))
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = filepath.Base(path)
	}
	compiler := protocompile.Compiler{
		Resolver: &protocompile.SourceResolver{ImportPaths: []string{protoDir}},
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		panic(fmt.Sprintf("compile %q: %v", protoDir, err))
	}
	all := map[string]protoreflect.MessageDescriptor{}
	for _, file := range files {
		for i := range file.Messages().Len() {
			all[string(file.Messages().Get(i).Name())] = file.Messages().Get(i)
		}
	}
	return all
})

func descriptor(name string) protoreflect.MessageDescriptor {
	desc, ok := messages()[name]
	if !ok {
		panic(fmt.Sprintf("no message %q in %s", name, protoDir))
	}
	return desc
}

// Encode gives the wire bytes of a message. A field that does not exist is a bug of the test.
func Encode(name string, m M) []byte {
	msg := dynamicpb.NewMessage(descriptor(name))
	fill(msg, m)
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		panic(fmt.Sprintf("encode %s: %v", name, err))
	}
	return bytes
}

func fill(msg protoreflect.Message, m M) {
	for name, value := range m {
		field := msg.Descriptor().Fields().ByName(protoreflect.Name(name))
		if field == nil {
			panic(fmt.Sprintf("no field %q in %s", name, msg.Descriptor().Name()))
		}
		if field.IsList() {
			list := msg.Mutable(field).List()
			for _, item := range value.([]any) {
				list.Append(toValue(field, item, list.NewElement))
			}
			continue
		}
		msg.Set(field, toValue(field, value, func() protoreflect.Value { return msg.NewField(field) }))
	}
}

func toValue(field protoreflect.FieldDescriptor, value any, fresh func() protoreflect.Value) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.MessageKind:
		v := fresh()
		fill(v.Message(), value.(M))
		return v
	case protoreflect.BytesKind:
		if text, ok := value.(string); ok {
			return protoreflect.ValueOfBytes([]byte(text))
		}
		return protoreflect.ValueOfBytes(value.([]byte))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(value.(string))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(value.(bool))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(value.(float64))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(value.(int)))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(value.(int)))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(value.(int)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(value.(int)))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(value.(int)))
	}
	panic(fmt.Sprintf("field %s: kind %s is not handled", field.Name(), field.Kind()))
}

// Decode reads a message; only fields that are present are in the result.
func Decode(name string, bytes []byte) (M, error) {
	msg := dynamicpb.NewMessage(descriptor(name))
	if err := proto.Unmarshal(bytes, msg); err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	return toMap(msg), nil
}

func toMap(msg protoreflect.Message) M {
	m := M{}
	msg.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.IsList() {
			items := make([]any, value.List().Len())
			for i := range items {
				items[i] = fromValue(field, value.List().Get(i))
			}
			m[string(field.Name())] = items
			return true
		}
		m[string(field.Name())] = fromValue(field, value)
		return true
	})
	if unknown := msg.GetUnknown(); len(unknown) > 0 {
		m["?"] = string(unknown)
	}
	return m
}

func fromValue(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return toMap(value.Message())
	case protoreflect.BytesKind:
		return string(value.Bytes())
	case protoreflect.EnumKind:
		return int(value.Enum())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return int(value.Int())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return int(value.Uint())
	}
	return value.Interface()
}

// At walks a dotted path; nil when something on it is absent.
func (m M) At(path string) any {
	var at any = m
	for _, name := range strings.Split(path, ".") {
		sub, ok := at.(M)
		if !ok {
			return nil
		}
		at = sub[name]
	}
	return at
}

// Has tells whether the field is present (for a scalar: not zero).
func (m M) Has(path string) bool { return m.At(path) != nil }

// Str is the text at path, "" when absent.
func (m M) Str(path string) string { text, _ := m.At(path).(string); return text }

// Int is the number at path, 0 when absent.
func (m M) Int(path string) int { number, _ := m.At(path).(int); return number }

// Float is the number at path, 0 when absent.
func (m M) Float(path string) float64 { number, _ := m.At(path).(float64); return number }

// Bool is the flag at path, false when absent.
func (m M) Bool(path string) bool { flag, _ := m.At(path).(bool); return flag }

// List is the list at path, empty when absent.
func (m M) List(path string) []any { list, _ := m.At(path).([]any); return list }

// Entries encodes a map as the repeated entries that it is on the wire, sorted by key.
func Entries(from map[string]string) []any {
	list := []any{}
	for key, value := range from {
		list = append(list, M{"key": key, "value": value})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].(M).Str("key") < list[j].(M).Str("key") })
	return list
}

// method is one call of the protocol.
type method struct{ path, request, reply string }

const (
	basePath   = "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
	driverPath = "/hashicorp.nomad.plugins.drivers.proto.Driver/"
	healthPath = "/grpc.health.v1.Health/"
)

var methods = map[string]method{
	"PluginInfo":       {basePath + "PluginInfo", "Empty", "PluginInfoResponse"},
	"ConfigSchema":     {basePath + "ConfigSchema", "Empty", "ConfigSchemaResponse"},
	"SetConfig":        {basePath + "SetConfig", "SetConfigRequest", "Empty"},
	"Init":             {driverPath + "Init", "Empty", "Empty"},
	"DriverShutdown":   {driverPath + "Shutdown", "Empty", "Empty"},
	"TaskConfigSchema": {driverPath + "TaskConfigSchema", "Empty", "TaskConfigSchemaResponse"},
	"Capabilities":     {driverPath + "Capabilities", "Empty", "CapabilitiesResponse"},
	"Fingerprint":      {driverPath + "Fingerprint", "Empty", "FingerprintResponse"},
	"TaskEvents":       {driverPath + "TaskEvents", "Empty", "DriverTaskEvent"},
	"RecoverTask":      {driverPath + "RecoverTask", "RecoverTaskRequest", "Empty"},
	"StartTask":        {driverPath + "StartTask", "StartTaskRequest", "StartTaskResponse"},
	"WaitTask":         {driverPath + "WaitTask", "WaitTaskRequest", "WaitTaskResponse"},
	"StopTask":         {driverPath + "StopTask", "StopTaskRequest", "Empty"},
	"DestroyTask":      {driverPath + "DestroyTask", "DestroyTaskRequest", "Empty"},
	"InspectTask":      {driverPath + "InspectTask", "InspectTaskRequest", "InspectTaskResponse"},
	"TaskStats":        {driverPath + "TaskStats", "TaskStatsRequest", "TaskStatsResponse"},
	"SignalTask":       {driverPath + "SignalTask", "SignalTaskRequest", "Empty"},
	"ExecTask":         {driverPath + "ExecTask", "ExecTaskRequest", "ExecTaskResponse"},
	"ExecStreaming":    {driverPath + "ExecTaskStreaming", "ExecTaskStreamingRequest", "ExecTaskStreamingResponse"},
	"CreateNetwork":    {driverPath + "CreateNetwork", "Empty", "Empty"},
	"DestroyNetwork":   {driverPath + "DestroyNetwork", "Empty", "Empty"},
	"Health":           {healthPath + "Check", "HealthCheckRequest", "HealthCheckResponse"},
	"Controller":       {"/plugin.GRPCController/Shutdown", "Empty", "Empty"},
	"StreamStdio":      {"/plugin.GRPCStdio/StreamStdio", "Empty", "StdioData"},
	"StartStream":      {"/plugin.GRPCBroker/StartStream", "Empty", "Empty"},
	"NoSuchMethod":     {driverPath + "NoSuchMethod", "Empty", "Empty"},
	"NoSuchService":    {"/no.such.Service/Method", "Empty", "Empty"},
}
