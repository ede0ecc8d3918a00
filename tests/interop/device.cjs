// A BACnet device by a stack that is not ours: a sensor, a commandable setpoint, an enable; COV of both kinds.
// Usage: node device.cjs PORT INSTANCE; prints `ready`, and the setpoint's priority array whenever it changes.

const {
  default: Client, ApplicationTag, ErrorClass, ErrorCode, ObjectType, PropertyIdentifier
} = require('@bacnet-js/client')

const [port, instance] = [Number(process.argv[2]), Number(process.argv[3])]
const device = new Client({ port, interface: '127.0.0.1', reuseAddr: false })
const P = PropertyIdentifier
const key = (object) => `${object.type},${object.instance}`
const value = (type, content) => [{ type, value: content }]
const subscriptions = []

function commandable (type, fallback) {
  const array = new Array(16).fill(null)
  return {
    type,
    array,
    present: () => array.find((slot) => slot !== null) ?? fallback,
    fallback
  }
}

const points = {
  [`${ObjectType.ANALOG_INPUT},1`]: { type: ApplicationTag.REAL, present: () => 19.5 },
  [`${ObjectType.ANALOG_VALUE},1`]: commandable(ApplicationTag.REAL, 20),
  [`${ObjectType.BINARY_VALUE},1`]: commandable(ApplicationTag.ENUMERATED, 0)
}

function property (object, id) {
  if (object.type === ObjectType.DEVICE && [instance, 4194303].includes(object.instance)) {
    if (id === P.MAX_APDU_LENGTH_ACCEPTED) return value(ApplicationTag.UNSIGNED_INTEGER, 1476)
    if (id === P.OBJECT_NAME) return value(ApplicationTag.CHARACTER_STRING, 'peer')
    return [ErrorClass.PROPERTY, ErrorCode.UNKNOWN_PROPERTY]
  }
  const point = points[key(object)]
  if (!point) return [ErrorClass.OBJECT, ErrorCode.UNKNOWN_OBJECT]
  if (id === P.PRESENT_VALUE) return value(point.type, point.present())
  if (id === P.STATUS_FLAGS) return value(ApplicationTag.BIT_STRING, { bitsUsed: 4, value: [0] })
  if (id === P.RELINQUISH_DEFAULT && point.array) return value(point.type, point.fallback)
  if (id === P.PRIORITY_ARRAY && point.array) {
    return point.array.map((slot) => ({ type: slot === null ? ApplicationTag.NULL : point.type, value: slot }))
  }
  return [ErrorClass.PROPERTY, ErrorCode.UNKNOWN_PROPERTY]
}

const isError = (answer) => typeof answer[0] === 'number'

device.on('readProperty', ({ header, invokeId, service, payload }) => {
  const answer = property(payload.objectId, payload.property.id)
  if (isError(answer)) device.errorResponse(header.sender, service, invokeId, ...answer)
  else device.readPropertyResponse(header.sender, invokeId, payload.objectId, payload.property, answer)
})

device.on('readPropertyMultiple', ({ header, invokeId, payload }) => {
  const answers = payload.properties.map(({ objectId, properties }) => ({
    objectId,
    values: properties.map((wanted) => {
      const answer = property(objectId, wanted.id)
      const failed = isError(answer)
      return {
        property: wanted,
        value: failed
          ? [{ value: { type: 'BacnetError', errorClass: answer[0], errorCode: answer[1] } }]
          : answer
      }
    })
  }))
  device.readPropertyMultipleResponse(header.sender, invokeId, answers)
})

function report ({ receiver, process, object, confirmed }) {
  const { present, type } = points[key(object)]
  const values = [
    { property: { id: P.PRESENT_VALUE }, value: value(type, present()) },
    { property: { id: P.STATUS_FLAGS }, value: value(ApplicationTag.BIT_STRING, { bitsUsed: 4, value: [0] }) }
  ]
  if (confirmed) {
    device.confirmedCOVNotification(receiver, object, process, instance, 60, values).catch((error) => {
      console.error(`report refused: ${error.message}`)
    })
  } else {
    device.unconfirmedCOVNotification(receiver, process, instance, object, 60, values)
  }
}

device.on('writeProperty', ({ header, invokeId, service, payload }) => {
  const point = points[key(payload.objectId)]
  if (!point?.array) {
    device.errorResponse(header.sender, service, invokeId, ErrorClass.PROPERTY, ErrorCode.WRITE_ACCESS_DENIED)
    return
  }
  const [written] = payload.value.value
  point.array[(payload.value.priority || 16) - 1] = written.type === ApplicationTag.NULL ? null : written.value
  device.simpleAckResponse(header.sender, service, invokeId)
  console.log(JSON.stringify({ object: key(payload.objectId), array: point.array }))
  for (const one of subscriptions.filter(({ object }) => key(object) === key(payload.objectId))) report(one)
})

device.on('subscribeCov', ({ header, invokeId, service, payload }) => {
  const object = payload.monitoredObjectId
  const known = subscriptions.findIndex((one) => key(one.object) === key(object))
  if (known >= 0) subscriptions.splice(known, 1)
  device.simpleAckResponse(header.sender, service, invokeId)
  if (payload.cancellationRequest) return
  const confirmed = payload.issueConfirmedNotifications
  const one = { receiver: header.sender, process: payload.subscriberProcessId, object, confirmed }
  subscriptions.push(one)
  report(one)
})

device.on('error', (error) => console.error(error))
device.on('listening', () => console.log('ready'))
