// The SDK loads it by its path, with require: so it is plain CommonJS.
const { DefaultFailureConverter } = require('@temporalio/common');

/** Puts messages and stack traces of failures into a payload, which the codec encrypts like any other. */
exports.failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
