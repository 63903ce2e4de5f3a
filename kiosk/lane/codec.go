package lane

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// The journal keeps events and effects as JSON with their type's name, so that
// a person can read it and a later version can still replay it.

var (
	eventTypes = typesOf(Started{}, Tick{}, GateSeen{}, GateLost{}, GateRefused{}, DocumentPlaced{}, DocumentTaken{},
		DocumentRead{}, Qualified{}, Answered{}, FaceCompared{}, Intended{}, Committed{}, StorageFailed{}, Decided{},
		Renewed{}, Ordered{}, LeaseChanged{}, HealthChanged{}, Pressed{}, TimeAsked{})
	effectTypes = typesOf(Order{}, Read{}, Qualify{}, Capture{}, WriteIntent{}, Record{}, Void{}, OpenCase{}, Refer{},
		Remind{}, Alert{}, Conclude{})
)

func typesOf(values ...any) map[string]reflect.Type {
	m := make(map[string]reflect.Type, len(values))
	for _, v := range values {
		m[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
	return m
}

// Name returns the type's name of an event or effect, as the journal has it.
func Name(v any) string { return reflect.TypeOf(v).Name() }

// Encode returns the name and the JSON body of an event or effect.
func Encode(v any) (name string, body []byte, err error) {
	body, err = json.Marshal(v)
	if err != nil {
		return "", nil, fmt.Errorf("lane: encode %s: %w", Name(v), err)
	}
	return Name(v), body, nil
}

// DecodeEvent reads what Encode wrote. It refuses unknown names and fields.
func DecodeEvent(name string, body []byte) (Event, error) {
	v, err := decode(eventTypes, name, body)
	if err != nil {
		return nil, err
	}
	return v.(Event), nil
}

// DecodeEffect reads what Encode wrote. It refuses unknown names and fields.
func DecodeEffect(name string, body []byte) (Effect, error) {
	v, err := decode(effectTypes, name, body)
	if err != nil {
		return nil, err
	}
	return v.(Effect), nil
}

func decode(types map[string]reflect.Type, name string, body []byte) (any, error) {
	typ, ok := types[name]
	if !ok {
		return nil, fmt.Errorf("lane: decode: unknown type %.40q", name)
	}
	v := reflect.New(typ)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v.Interface()); err != nil {
		return nil, fmt.Errorf("lane: decode %s: %w", name, err)
	}
	if d.More() {
		return nil, fmt.Errorf("lane: decode %s: more than one value", name)
	}
	return v.Elem().Interface(), nil
}
